#include "alias/pipe_args.h"

#include <string.h>

#include "alias/macro.h"

static const struct {
	char letter;
	enum pipe_flag flag;
} letters[] = {
	{ 'B', PIPE_BLANK_LINE },
	{ 'D', PIPE_DELIVERED_TO },
	{ 'F', PIPE_FROM_LINE },
	{ 'O', PIPE_ORIGINAL_TO },
	{ 'R', PIPE_RETURN_PATH },
	{ 'X', PIPE_FINAL },
	{ 'h', PIPE_LOWER_DOMAIN },
	{ 'u', PIPE_LOWER_LOCAL },
	{ 'q', PIPE_QUOTE },
	{ '.', PIPE_DOTS },
	{ '>', PIPE_FROM_QUOTE },
};

static const char *const of_recipient[] = { "recipient", "original_recipient",
	"user", "extension", "domain", "mailbox" };

enum err
pipe_flags_parse(struct slice text, unsigned *out, struct errtext *et)
{
	*out = 0;
	for (size_t i = 0; i < text.len; i++) {
		size_t k = 0;

		while (
		    k < ARRAY_LEN(letters) && letters[k].letter != text.data[i])
			k++;
		if (k == ARRAY_LEN(letters))
			return err_set(et, ERR_CONFIG,
			    "unknown flag \"%c\"; write some of BDFORXhqu.>",
			    text.data[i]);
		*out |= letters[k].flag;
	}
	return OK;
}

static void
lower(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
}

/* A local part as flags want it; its length. */
static size_t
put_local(struct slice local, unsigned flags, char *to)
{
	size_t len;

	if (local.len > LOCAL_PART_BYTES_MAX)
		local.len = LOCAL_PART_BYTES_MAX;
	if ((flags & PIPE_QUOTE) || !address_local_unquote(local, to, &len)) {
		if (local.len > 0)
			memcpy(to, local.data, local.len);
		len = local.len;
	}
	if (flags & PIPE_LOWER_LOCAL)
		lower(to, len);
	return len;
}

/* Where the extension's delimiter stands; a first character is none. */
static size_t
find_delimiter(struct slice local, const char *delimiters)
{
	for (size_t i = 1; i < local.len; i++)
		if (local.data[i] != '\0' &&
		    strchr(delimiters, local.data[i]) != NULL)
			return i;
	return local.len;
}

void
pipe_address_make(struct slice canonical, const char *delimiters,
    unsigned flags, struct pipe_address *out)
{
	struct address a;
	size_t local_len, cut;

	if (canonical.len > ADDRESS_BYTES_MAX)
		canonical.len = ADDRESS_BYTES_MAX;
	address_split(canonical, &a);
	local_len = put_local(a.local, flags, out->local);
	memcpy(out->text, out->local, local_len);
	out->mailbox = slice_of(out->text, local_len);
	out->domain = SLICE_NONE;
	out->recipient = out->mailbox;
	if (a.domain.len > 0 && a.domain.len < sizeof(out->text) - local_len) {
		char *at = out->text + local_len;

		at[0] = '@';
		memcpy(at + 1, a.domain.data, a.domain.len);
		if (flags & PIPE_LOWER_DOMAIN)
			lower(at + 1, a.domain.len);
		out->domain = slice_of(at + 1, a.domain.len);
		out->recipient =
		    slice_of(out->text, local_len + 1 + a.domain.len);
	}
	cut = find_delimiter(out->mailbox, delimiters);
	out->user = slice_sub(out->mailbox, 0, cut);
	out->extension = slice_sub(out->mailbox, cut + 1, local_len);
	out->original = out->recipient;
}

static bool is_per_recipient(struct slice template)
{
	for (size_t i = 0; i < ARRAY_LEN(of_recipient); i++)
		if (macro_uses(template, of_recipient[i]))
			return true;
	return false;
}

static enum err
expand_one(const struct pipe_args *a, struct slice template,
    const struct pipe_address *r, struct out *out, struct errtext *et)
{
	const struct pipe_message *m = a->message;
	const struct macro_var vars[] = {
		{ "recipient", r->recipient },
		{ "original_recipient", r->original },
		{ "user", r->user },
		{ "extension", r->extension },
		{ "domain", r->domain },
		{ "mailbox", r->mailbox },
		{ "sender", m->sender },
		{ "nexthop", m->nexthop },
		{ "size", m->size },
		{ "queue_id", m->queue_id },
		{ "client_address", m->client_address },
		{ "client_hostname", m->client_hostname },
		{ "client_helo", m->client_helo },
		{ "client_protocol", m->client_protocol },
	};
	const struct macro_vars all = { vars, ARRAY_LEN(vars) };
	size_t before = out->len;
	enum err e = macro_expand(template, &all, MACRO_RAW, out, et);

	if (e != OK)
		return e;
	if (template.data[0] == '$' && out->len > before &&
	    out->data[before] == '-')
		return err_set(et, ERR_DENIED,
		    "an argument that would be an option: %.*s",
		    (int)(out->len - before), out->data + before);
	/* The kernel would end it there. */
	if (memchr(out->data + before, '\0', out->len - before) != NULL)
		return err_set(et, ERR_DENIED, "a null byte in an argument");
	return OK;
}

enum err
pipe_args_next(struct pipe_args *a, struct out *out, struct errtext *et)
{
	struct slice template;
	size_t r = a->recipient_at;

	if (a->template_at == a->template_count)
		return ERR_NOTFOUND;
	template = a->templates[a->template_at];
	if (is_per_recipient(template) && r + 1 < a->recipient_count) {
		a->recipient_at++;
	} else {
		a->recipient_at = 0;
		a->template_at++;
	}
	if (template.len == 0)
		return OK;
	return expand_one(a, template, &a->recipients[r], out, et);
}
