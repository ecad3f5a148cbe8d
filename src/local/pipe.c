#include "local/pipe.h"

#include <stdio.h>
#include <string.h>

#include "alias/pipe_args.h"

/* Facts of the recipients; static, since they are large. */
static struct pipe_address addresses[PIPE_RECIPIENT_COUNT_MAX];
static struct pipe_address sender;

static size_t
read_templates(const struct request *q,
    struct slice out[static REQUEST_ARGV_MAX])
{
	struct slice list = q->argv;
	size_t count = 0;

	while (count < REQUEST_ARGV_MAX && request_next(&list, &out[count]))
		count++;
	return count;
}

static size_t
read_recipients(const struct request *q)
{
	struct slice list = q->recipients, address, original;
	size_t count = 0;

	while (count < PIPE_RECIPIENT_COUNT_MAX &&
	       request_next(&list, &address) &&
	       request_next(&list, &original)) {
		pipe_address_make(address, q->delimiters, q->pipe_flags,
		    &addresses[count]);
		if (original.len > 0)
			addresses[count].original = original;
		count++;
	}
	return count;
}

static struct slice
sender_as_wanted(const struct request *q)
{
	if (q->sender.len == 0)
		return q->null_sender;
	pipe_address_make(q->sender, "", q->pipe_flags, &sender);
	return sender.recipient;
}

static bool
refused(enum err e, const struct errtext *et, struct outcome *o)
{
	if (e == ERR_DENIED)
		return outcome_set(o, JOB_FAILED, "5.1.3",
		    "bad address syntax: %s", et->text);
	if (e == ERR_CONFIG)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "mail system configuration error: %s", et->text);
	return outcome_set(o, JOB_DEFERRED, "4.3.5",
	    "the arguments of the command are too long");
}

/* The next argument at the end of out->text. */
static enum err
add_word(struct pipe_args *a, struct pipe_command *out, size_t *len,
    struct errtext *et)
{
	struct out word;
	enum err e;

	if (out->count == PIPE_WORDS_MAX || *len == sizeof(out->text))
		return ERR_TOOBIG;
	out_init(&word, out->text + *len, sizeof(out->text) - *len - 1);
	e = pipe_args_next(a, &word, et);
	if (e != OK)
		return e;
	out->argv[out->count++] = out->text + *len;
	*len += word.len;
	out->text[(*len)++] = '\0';
	return OK;
}

bool
pipe_command_make(const struct request *q, struct pipe_command *out,
    struct outcome *o)
{
	struct slice templates[REQUEST_ARGV_MAX];
	char size[24], id[24];
	struct pipe_message m = {
		.sender = sender_as_wanted(q),
		.nexthop = q->nexthop,
		.client_address = q->client_address,
		.client_hostname = q->client_name,
		.client_helo = q->client_helo,
		.client_protocol = q->client_protocol,
	};
	struct pipe_args a = {
		.templates = templates,
		.template_count = read_templates(q, templates),
		.message = &m,
		.recipients = addresses,
		.recipient_count = read_recipients(q),
	};
	struct errtext et = { "" };
	size_t len = 0;
	enum err e;

	(void)snprintf(size, sizeof(size), "%llu",
	    (unsigned long long)q->body_bytes);
	(void)snprintf(id, sizeof(id), "%llu",
	    (unsigned long long)q->message_id);
	m.size = slice_str(size);
	m.queue_id = slice_str(id);
	out->count = 0;
	do
		e = add_word(&a, out, &len, &et);
	while (e == OK);
	out->argv[out->count] = NULL;
	return e == ERR_NOTFOUND && out->count > 0 ? true : refused(e, &et, o);
}
