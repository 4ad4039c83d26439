// Loaded into each test process: what Node warns of today breaks tomorrow, so it fails the file that caused it.
process.on("warning", (warning) => {
  // Stable enough for tests to look into Synapse's databases with; the product itself does not use it.
  if (warning.message.startsWith("SQLite is an experimental feature")) return;
  throw warning;
});
