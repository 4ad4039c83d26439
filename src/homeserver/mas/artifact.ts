/** The authentication service's configuration and the files that it names. Its database is a separate artifact. */
export const MAS_CONFIG_ARTIFACT = "customer_mas_config_export.tar.gz";
export const MAS_SECTION = "config-mas";
