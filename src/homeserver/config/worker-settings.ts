import type { Settings } from "../homeserver.ts";
import { findSettings, isMapping } from "../settings.ts";

/**
 * Settings of the shared configuration that assign work to workers (synapse/config/workers.py, repository.py
 * and server.py). Without them the main process does everything itself.
 */
export const WORKER_SETTINGS: readonly string[] = [
  "stream_writers",
  "instance_map",
  "federation_sender_instances",
  "pusher_instances",
  "outbound_federation_restricted_to",
  "media_instance_running_background_jobs",
  "run_background_tasks_on",
  "notify_appservices_from_worker",
  "update_user_directory_from_worker",
  "send_federation",
  "start_pushers",
  "notify_appservices",
  "update_user_directory",
  "enable_media_repo",
];

/** The names of the workers that the settings assign work to. */
export function findWorkerNames(settings: Settings): string[] {
  const lists = [
    "stream_writers.*",
    "stream_writers.*[*]",
    "federation_sender_instances[*]",
    "pusher_instances[*]",
    "outbound_federation_restricted_to[*]",
    "media_instance_running_background_jobs",
    "run_background_tasks_on",
    "notify_appservices_from_worker",
    "update_user_directory_from_worker",
  ].flatMap((pattern) => findSettings(settings, pattern).map(({ value }) => value));
  const map = isMapping(settings["instance_map"]) ? Object.keys(settings["instance_map"]) : [];
  const names = [...map, ...lists].filter((name): name is string => typeof name === "string");
  return [...new Set(names)].filter((name) => name !== "master" && name !== "main");
}
