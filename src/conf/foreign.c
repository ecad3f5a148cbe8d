/*
 * conf/foreign: parameters of Postfix that are none of ours, for those who
 * bring a main.cf.
 */
#include "conf/param.h"

/* Where Postfix itself lies, and what has no meaning without it. */
static const char *const installation[] = { "queue_directory", "data_directory",
	"command_directory", "daemon_directory", "mail_owner", "setgid_group",
	"sendmail_path", "mailq_path", "newaliases_path", "html_directory",
	"manpage_directory", "sample_directory", "readme_directory",
	"meta_directory", "shlib_directory", "compatibility_level",
	"debugger_command", "debug_peer_level", "biff", "append_dot_mydomain",
	"alias_database", "unknown_local_recipient_reject_code",
	"inet_protocols_workaround", "mail_name", "mail_version" };

/* What Weir does by itself, or has under another name. */
static const struct {
	const char *name, *remark;
} explained[] = {
	{ "smtpd_recipient_restrictions",
	    "built in: known recipients, and relaying for mynetworks only; "
	    "tests that go further have no counterpart" },
	{ "smtpd_relay_restrictions",
	    "built in: relaying for mynetworks and to relay_domains only" },
	{ "local_recipient_maps",
	    "built in: RCPT asks what the delivery will ask" },
	{ "relay_recipient_maps", "no counterpart" },
	{ "default_process_limit",
	    "concurrency_incoming bounds sessions, concurrency_local and "
	    "concurrency_remote deliveries" },
	{ "inet_interfaces",
	    "smtp_listen has addresses with their ports, such as *:25 or "
	    "127.0.0.1:25" },
	{ "mynetworks_style", "mynetworks has the networks themselves" },
	{ "default_transport", "relayhost and transport_maps say where to" },
	{ "relay_transport", "relayhost and transport_maps say where to" },
	{ "local_transport",
	    "mailbox_transport and transport_maps say where to" },
	{ "virtual_maps", "it is virtual_alias_maps" },
	{ "fallback_relay", "no counterpart" },
	{ "smtp_fallback_relay", "no counterpart" },
	{ "content_filter", "no counterpart" },
	{ "canonical_maps", "no counterpart" },
	{ "sender_canonical_maps", "no counterpart" },
	{ "recipient_canonical_maps", "no counterpart" },
	{ "smtp_generic_maps", "no counterpart" },
	{ "masquerade_domains", "no counterpart" },
	{ "relocated_maps", "no counterpart" },
	{ "always_bcc", "no counterpart" },
	{ "sender_bcc_maps", "no counterpart" },
	{ "recipient_bcc_maps", "no counterpart" },
	{ "header_checks", "no counterpart" },
	{ "mime_header_checks", "no counterpart" },
	{ "body_checks", "no counterpart" },
	{ "smtpd_helo_required", "no counterpart" },
	{ "disable_vrfy_command", "no counterpart" },
	{ "smtpd_client_restrictions", "no counterpart" },
	{ "smtpd_helo_restrictions", "no counterpart" },
	{ "smtpd_sender_restrictions", "no counterpart" },
	{ "smtpd_data_restrictions", "no counterpart" },
	{ "smtpd_end_of_data_restrictions", "no counterpart" },
	{ "smtpd_milters", "no counterpart" },
	{ "non_smtpd_milters", "no counterpart" },
	{ "milter_default_action", "no counterpart" },
	{ "milter_protocol", "no counterpart" },
};

/* Beginnings of names. */
static const struct {
	const char *prefix, *remark;
} families[] = {
	{ "smtpd_tls_", "no TLS and no sign-in yet" },
	{ "smtp_tls_", "no TLS and no sign-in yet" },
	{ "smtpd_sasl_", "no TLS and no sign-in yet" },
	{ "smtp_sasl_", "no TLS and no sign-in yet" },
	{ "smtpd_use_tls", "no TLS and no sign-in yet" },
	{ "smtp_use_tls", "no TLS and no sign-in yet" },
	{ "smtpd_enforce_tls", "no TLS and no sign-in yet" },
	{ "postscreen_", "no counterpart" },
};

bool
conf_foreign_installation(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(installation); i++)
		if (slice_eq(name, slice_str(installation[i])))
			return true;
	return false;
}

const char *
conf_foreign_remark(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(explained); i++)
		if (slice_eq(name, slice_str(explained[i].name)))
			return explained[i].remark;
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (slice_starts_nocase(name, slice_str(families[i].prefix)))
			return families[i].remark;
	return NULL;
}
