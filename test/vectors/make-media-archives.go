// Made the archives "go-v2" and "go-v1" of test/vectors/media-archive, once, with the writers of Go's own library, as
// matrix-media-repo calls them: go run make-media-archives.go FOLDER. It refuses to run again.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type record struct {
	Name        string `json:"name"`
	FileName    string `json:"file_name"`
	SizeBytes   int64  `json:"size_bytes"`
	ContentType string `json:"content_type"`
	S3Url       string `json:"s3_url"`
	Sha256      string `json:"sha256"`
	Origin      string `json:"origin"`
	MediaId     string `json:"media_id"`
	CreatedTs   int64  `json:"created_ts"`
	Uploader    string `json:"uploader"`
}

type manifest struct {
	Version   int                `json:"version"`
	EntityId  string             `json:"entity_id,omitempty"`
	CreatedTs int64              `json:"created_ts"`
	Media     map[string]*record `json:"media"`
	UserId    string             `json:"user_id,omitempty"`
}

type file struct {
	name    string
	content []byte
	time    int64
}

const origin = "example.org"

func main() {
	root := os.Args[1]
	for _, version := range []int{2, 1} {
		folder := filepath.Join(root, fmt.Sprintf("go-v%d", version), "archive")
		if _, err := os.Stat(folder); err == nil {
			panic(folder + " is there already: a vector is never made again")
		}
		must(os.MkdirAll(folder, 0755))
		m := manifest{Version: version, CreatedTs: 1712400000000, Media: map[string]*record{}}
		if version == 2 {
			m.EntityId = origin
		} else {
			m.UserId = "@nora:" + origin
		}
		parts := [][]file{{}, {}, {}}
		add := func(part int, id, ext, name, kind string, content []byte) {
			sum := sha256.Sum256(content)
			entry := origin + "__" + id + ext
			m.Media["mxc://"+origin+"/"+id] = &record{name, entry, int64(len(content)), kind, "", hex.EncodeToString(sum[:]), origin, id, 1712345678901, "@nora:" + origin}
			parts[part] = append(parts[part], file{entry, content, 1712345678})
		}
		add(0, "GbRtWqLmZxKpVnHsYdCfJaEu", ".jpg", "holiday <photo> & more.jpg", "image/jpeg", append([]byte{0xff, 0xd8, 0xff, 0xe0}, "made-up jpeg body\n"...))
		add(0, "TkPoIuYtReWqAsDfGhJkLzXc", "", "", "application/octet-stream", []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77})
		add(1, "EmptyEmptyEmptyEmptyEmpt", ".txt", "nothing.txt", "text/plain", []byte{})
		// Longer than a ustar header holds, and not of ASCII: Go turns to PAX by itself.
		add(1, strings.Repeat("L", 120), ".txt", "long", "text/plain", []byte("an upload with a long id\n"))
		add(1, "UmlautUmlautUmlautUmlaut", "_ünï", "ü.txt", "text/plain", bytes.Repeat([]byte("compressible "), 20000))
		for index, files := range parts {
			write(folder, fmt.Sprintf("export-part-%d", index+1), files)
		}
		var text bytes.Buffer
		must(json.NewEncoder(&text).Encode(m))
		page := []byte("<!DOCTYPE html><title>" + origin + " media export</title>\n")
		write(folder, "export-manifest", []file{{"manifest.json", text.Bytes(), 1712400000}, {"index.html", page, 1712400000}})
	}
}

func write(folder, name string, files []file) {
	out, err := os.Create(filepath.Join(folder, name+".tgz"))
	must(err)
	press := gzip.NewWriter(out)
	press.Name = name + ".tar"
	archive := tar.NewWriter(press)
	for _, one := range files {
		must(archive.WriteHeader(&tar.Header{Name: one.name, Size: int64(len(one.content)), Mode: 0644, ModTime: time.Unix(one.time, 0)}))
		_, err := archive.Write(one.content)
		must(err)
	}
	must(archive.Close())
	must(press.Close())
	must(out.Close())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
