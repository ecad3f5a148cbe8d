/*
 * settings: from the configuration into requests.
 */
#include "local/settings.h"

#include <string.h>

#include "conf/conf.h"

static void
set_flag(struct request *q, uint32_t flag, bool on)
{
	if (on)
		q->flags |= flag;
	else
		q->flags &= ~flag;
}

void
settings_of_mailbox(const struct conf *conf, struct request *q)
{
	size_t i;

	memset(&q->locks, 0, sizeof(q->locks));
	for (i = 0; i < conf->mailbox_delivery_lock.count; i++)
		lock_policy_add(&q->locks,
		    lock_kind_of(conf->mailbox_delivery_lock.items[i]));
	q->locks.attempts = (uint32_t)conf->deliver_lock_attempts;
	q->locks.delay_ms = (uint32_t)conf->deliver_lock_delay_ms;
	q->locks.stale_ms = (uint32_t)conf->stale_lock_time_ms;
	q->size_limit_bytes = (uint64_t)conf->mailbox_size_limit_bytes;
	set_flag(q, REQUEST_FULL_BOUNCES,
	    conf->mailbox_full_action == CONF_FULL_BOUNCE);
}

/* Whoever is named in allow_mail_to_commands or _files. */
static bool
allows(const struct conf_list *list, const char *who)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (slice_eq(list->items[i], slice_str(who)))
			return true;
	return false;
}

static enum err
keep(struct arena *arena, struct slice s, struct slice *out)
{
	char *copy = arena_copy(arena, s.data, s.len);

	*out = slice_of(copy, s.len);
	return copy != NULL ? OK : ERR_NOMEM;
}

/* Each name once, so that they always fit. */
static enum err
keep_dot_files(const struct conf_list *list, struct arena *arena,
    struct slice *out)
{
	static const char *const known[] = { ".qmail", ".forward" };
	char text[DOT_FILES_BYTES_MAX];
	bool seen[ARRAY_LEN(known)] = { false };
	size_t i, k, len = 0;

	for (i = 0; i < list->count; i++)
		for (k = 0; k < ARRAY_LEN(known); k++) {
			if (seen[k] ||
			    !slice_eq(list->items[i], slice_str(known[k])))
				continue;
			seen[k] = true;
			memcpy(text + len, known[k], strlen(known[k]));
			len += strlen(known[k]);
			text[len++] = ' ';
		}
	return keep(arena, slice_of(text, len), out);
}

enum err
settings_of_plan(const struct conf *conf, struct arena *arena,
    struct request *q)
{
	enum err e;

	set_flag(q, REQUEST_ALLOW_COMMANDS,
	    allows(&conf->allow_mail_to_commands, "forward"));
	set_flag(q, REQUEST_ALLOW_INCLUDE_COMMANDS,
	    allows(&conf->allow_mail_to_commands, "include"));
	set_flag(q, REQUEST_ALLOW_FILES,
	    allows(&conf->allow_mail_to_files, "forward"));
	set_flag(q, REQUEST_ALLOW_INCLUDE_FILES,
	    allows(&conf->allow_mail_to_files, "include"));
	e = keep_dot_files(&conf->dot_files, arena, &q->dot_files);
	if (e == OK)
		e = keep(arena, slice_str(conf->forward_path),
		    &q->forward_path);
	return e;
}

void
settings_of_command(const struct conf *conf, struct request *q)
{
	q->time_limit_ms = (uint32_t)conf->command_time_limit_ms;
	q->memory_limit_bytes = (uint64_t)conf->command_memory_limit_bytes;
	q->process_max = (uint32_t)conf->command_process_limit;
	set_flag(q, REQUEST_TIMEOUT_BOUNCES,
	    conf->command_timeout_action == CONF_TIMEOUT_BOUNCE);
}
