/** The newest schema whose tables are listed here (`SCHEMA_VERSION` in synapse/storage/schema/__init__.py, Synapse 1.163). */
export const KNOWN_SCHEMA = 94;

/** Tables of that schema, on PostgreSQL and on SQLite. */
const CURRENT_TABLES = `
  access_tokens account_data account_validity application_services_state application_services_txns
  applied_module_schemas applied_schema_deltas appservice_room_list appservice_stream_position
  background_updates blocked_rooms cache_invalidation_stream_by_instance current_state_delta_stream
  current_state_events dehydrated_devices delayed_events delayed_events_stream_pos deleted_pushers
  destination_rooms destination_rooms_sticky_events_backlog destinations device_auth_providers
  device_federation_inbox device_federation_outbox device_inbox
  device_lists_changes_converted_stream_position device_lists_changes_in_room
  device_lists_changes_in_room_max_pruned_stream_id device_lists_outbound_last_success
  device_lists_outbound_pokes device_lists_remote_cache device_lists_remote_extremeties
  device_lists_remote_pending device_lists_remote_resync device_lists_stream devices
  e2e_cross_signing_keys e2e_cross_signing_signatures e2e_device_keys_json e2e_fallback_keys_json
  e2e_one_time_keys_json e2e_room_keys e2e_room_keys_versions erased_users event_auth
  event_auth_chain_links event_auth_chain_to_calculate event_auth_chains event_backward_extremities
  event_edges event_expiry event_failed_pull_attempts event_forward_extremities event_json event_labels
  event_push_actions event_push_actions_staging event_push_summary
  event_push_summary_last_receipt_stream_id event_push_summary_stream_ordering event_relations
  event_reports event_search event_search_content event_search_docsize event_search_segdir
  event_search_segments event_search_stat event_to_state_groups event_txn_id_device_id events
  ex_outlier_stream federation_inbound_events_staging federation_stream_position ignored_users
  instance_map local_current_membership local_media_repository local_media_repository_thumbnails
  local_media_repository_url_cache login_tokens monthly_active_users msc4242_state_dag_edges
  msc4242_state_dag_forward_extremities open_id_tokens partial_state_events partial_state_rooms
  partial_state_rooms_servers per_user_experimental_features presence_stream profile_updates
  profile_updates_per_user profiles push_rules push_rules_enable push_rules_stream pusher_throttle
  pushers quarantined_media_changes ratelimit_override receipts_graph receipts_linearized
  received_transactions redactions refresh_tokens registration_tokens rejections remote_media_cache
  remote_media_cache_thumbnails room_account_data room_alias_servers room_aliases room_ban_redactions
  room_depth room_forgetter_stream_pos room_memberships room_reports room_retention room_stats_current
  room_stats_earliest_token room_stats_state room_tags room_tags_revisions rooms scheduled_tasks
  schema_compat_version schema_version server_keys_json server_signature_keys sessions
  sliding_sync_connection_lazy_members sliding_sync_connection_positions
  sliding_sync_connection_required_state sliding_sync_connection_room_configs
  sliding_sync_connection_streams sliding_sync_connections sliding_sync_joined_rooms
  sliding_sync_joined_rooms_to_recalculate sliding_sync_membership_snapshots sqlite_sequence
  state_events state_group_edges state_groups state_groups_pending_deletion state_groups_persisting
  state_groups_state stats_incremental_position sticky_events stream_ordering_to_exterm stream_positions
  thread_subscriptions threads threepid_guest_access_tokens threepid_validation_session
  threepid_validation_token timeline_gaps ui_auth_sessions ui_auth_sessions_credentials
  ui_auth_sessions_ips un_partial_stated_event_stream un_partial_stated_room_stream user_daily_visits
  user_directory user_directory_search user_directory_search_content user_directory_search_docsize
  user_directory_search_segdir user_directory_search_segments user_directory_search_stat
  user_directory_stale_remote_users user_directory_stream_pos user_external_ids user_filters user_ips
  user_reports user_signature_stream user_stats_current user_threepid_id_server user_threepids users
  users_in_public_rooms users_pending_deactivation users_to_send_full_presence_to
  users_who_share_private_rooms worker_locks worker_read_write_locks worker_read_write_locks_mode`;

/** Tables of earlier schemas, which may still exist (the deltas in synapse/storage/schema/). */
const FORMER_TABLES = `
  _extremities_to_check access_tokens2 application_services_state2 batch_events
  cache_invalidation_stream chunk_events deleted_pushers2 device_lists_outbound_last_success_new
  device_max_stream_id devices2 e2e_room_keys_new e2e_room_keys_versions_new event_auth_new
  event_forward_extremities2 event_push_actions_new event_push_actions_staging_new
  event_push_summary_new event_txn_id event_txn_id2 group_attestations_remote
  group_attestations_renewals group_invites group_roles group_room_categories group_rooms
  group_summary_roles group_summary_room_categories group_summary_rooms group_summary_users group_users
  groups groups_new guest_access history_visibility insertion_event_edges insertion_event_extremities
  insertion_events local_group_membership local_group_updates local_invites
  local_media_repository_thumbnails_new local_media_repository_url_cache_new new_access_tokens
  new_event_edges new_server_keys_json new_user_ips new_users presence private_user_data_max_stream_id
  public_room_list_stream pushers2 receipts_graph_new receipts_linearized_new
  remote_media_cache_thumbnails_new remote_profile_cache room_state room_stats room_stats_historical
  stats_stream_pos temp_profiles temp_user_filters user_directory2 user_filters_migration user_stats
  user_stats_historical user_threepids2 users_in_pubic_room users_who_share_public_rooms
  users_who_share_rooms`;

/** Tables that tools for Synapse create, and the tool that created them. */
const TOOL_TABLES: Readonly<Record<string, string>> = {
  port_from_sqlite3: "synapse_port_db",
  state_compressor_progress: "rust-synapse-compress-state",
  state_compressor_state: "rust-synapse-compress-state",
  state_compressor_total_progress: "rust-synapse-compress-state",
};

const SYNAPSE_TABLES = new Set(`${CURRENT_TABLES} ${FORMER_TABLES}`.split(/\s+/));

/** What created a table: "synapse", the name of a tool, or undefined when unknown. */
export function creatorOf(table: string): string | undefined {
  // synapse/storage/databases/main/user_directory.py and stats.py keep their working tables under these names.
  if (SYNAPSE_TABLES.has(table) || /^_temp_populate_/.test(table)) return "synapse";
  return Object.hasOwn(TOOL_TABLES, table) ? TOOL_TABLES[table] : undefined;
}
