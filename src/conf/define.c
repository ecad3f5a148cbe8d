/*
 * conf/define: the syntax of weir.conf, and which definition holds.
 *
 * A logical line is a line that begins in the first column, with all lines
 * after it that begin with white space.  Empty lines and lines whose first
 * character is # are skipped, also between those.
 */
#include "conf/load.h"

static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return s.len > 0;
}

void
conf_define_value(struct loader *l, struct slice name, struct conf_value *v,
    struct slice raw, enum conf_origin origin, struct conf_place at)
{
	const char *copy;

	if (origin < v->origin)
		return;
	if (origin == v->origin && origin != CONF_ORIGIN_CONTROL)
		conf_report_add(l->report, false, at, name, raw,
		    "defined again; this one holds, that of %s:%u does not",
		    v->file, v->line);
	copy = arena_copy(&l->all->arena, raw.data, raw.len);
	if (copy == NULL) {
		l->out_of_memory = true;
		return;
	}
	v->raw = slice_of(copy, raw.len);
	v->origin = origin;
	v->file = at.file;
	v->line = at.line;
}

void
conf_define(struct loader *l, enum conf_id id, struct slice raw,
    enum conf_origin origin, struct conf_place at)
{
	conf_define_value(l, slice_str(conf_params[id].name),
	    &l->all->values[id], raw, origin, at);
}

void
conf_define_unknown(struct loader *l, struct slice name, struct slice raw,
    struct conf_place at)
{
	const char *near = conf_param_nearest(name);
	const char *remark = conf_foreign_remark(name);

	if (remark != NULL)
		conf_report_add(l->report, true, at, name, raw,
		    "a parameter of Postfix (%s); leave it out", remark);
	else if (conf_foreign_installation(name))
		conf_report_add(l->report, true, at, name, raw,
		    "a parameter of Postfix without meaning here; leave it "
		    "out");
	else if (slice_eq(name, SLICE_LIT("qmqpservers")))
		conf_report_add(l->report, true, at, name, raw,
		    CONF_NO_QMQP "; write relayhost");
	else if (near != NULL)
		conf_report_add(l->report, true, at, name, raw,
		    "unknown parameter; did you mean %s?", near);
	else
		conf_report_add(l->report, true, at, name, raw,
		    "unknown parameter; weir.conf(5) lists those there are");
}

/* By the name of a control file; a bare number gets the file's unit. */
static bool
define_alias(struct loader *l, struct slice name, struct slice raw,
    enum conf_origin origin, struct conf_place at)
{
	char number[64];
	bool found = false;
	uint64_t n;

	for (size_t i = 0; i < conf_control_count; i++) {
		const struct conf_control *k = &conf_controls[i];
		struct slice value = raw;
		size_t unit = strlen(k->unit);

		if (!slice_eq(name, slice_str(k->file)))
			continue;
		found = true;
		if (unit > 0 && slice_to_u64(raw, UINT64_MAX, &n) &&
		    raw.len + unit < sizeof(number)) {
			memcpy(number, raw.data, raw.len);
			memcpy(number + raw.len, k->unit, unit);
			value = slice_of(number, raw.len + unit);
		}
		conf_define(l, k->id, value, origin, at);
	}
	return found;
}

static void
define_named(struct loader *l, struct slice name, struct slice raw,
    bool is_option, struct conf_place at)
{
	const struct conf_param *p = conf_param_find(name);
	enum conf_origin origin =
	    is_option ? CONF_ORIGIN_OPTION : CONF_ORIGIN_FILE;

	if (p != NULL)
		conf_define(l, (enum conf_id)(p - conf_params), raw, origin,
		    at);
	else if (!define_alias(l, name, raw,
		     is_option ? CONF_ORIGIN_OPTION_ALIAS
			       : CONF_ORIGIN_FILE_ALIAS,
		     at) &&
		 !conf_pipe_define_limit(l, name, raw, origin, at))
		conf_define_unknown(l, name, raw, at);
}

/* "transport NAME" in front of the equals sign. */
static bool
is_transport(struct slice name, struct slice *pipe_out)
{
	struct slice word;

	return slice_word(&name, " \t", &word) &&
	       slice_eq(word, SLICE_LIT("transport")) &&
	       (*pipe_out = slice_trim(name)).len > 0;
}

/* One whole definition. */
static void
define_line(struct loader *l, struct slice line, bool is_option,
    struct conf_place at)
{
	size_t equals = slice_find(line, '=');
	struct slice name = slice_trim(slice_sub(line, 0, equals));
	struct slice raw, pipe;

	if (equals == line.len) {
		conf_report_add(l->report, true, at,
		    slice_sub(name, 0, slice_find(name, ' ')), line,
		    "no = in it; write name = value");
		return;
	}
	raw = slice_trim(slice_sub(line, equals + 1, line.len));
	if (is_transport(name, &pipe)) {
		conf_pipe_define(l, pipe, raw,
		    is_option ? CONF_ORIGIN_OPTION : CONF_ORIGIN_FILE, at);
		return;
	}
	if (!is_name(name)) {
		conf_report_add(l->report, true, at, name, raw,
		    "not a name before the =; write name = value");
		return;
	}
	define_named(l, name, raw, is_option, at);
}

void
conf_define_option(struct loader *l, struct slice option, unsigned n)
{
	define_line(l, option, true, (struct conf_place){ "-o", n });
}

/* A logical line that is being put together. */
struct assembly {
	struct buf buf;
	unsigned line; /* of its first line; 0: nothing begun */
	bool too_long;
};

static void
assembly_end(struct loader *l, struct assembly *as, const char *file)
{
	struct slice line = buf_data(&as->buf);
	struct conf_place at = { file, as->line };

	if (l->out_of_memory)
		return; /* what is here may be cut */
	if (as->line != 0 && as->too_long)
		conf_report_add(l->report, true, at,
		    slice_sub(line, 0, slice_find(line, ' ')), line,
		    "longer than %d bytes; put lists into tables",
		    CONF_LINE_BYTES_MAX);
	else if (as->line != 0)
		define_line(l, line, false, at);
	buf_take(&as->buf, line.len);
	as->line = 0;
	as->too_long = false;
}

static void
assembly_add(struct loader *l, struct assembly *as, struct slice text)
{
	enum err e = OK;

	if (buf_data(&as->buf).len > 0)
		e = buf_put(&as->buf, SLICE_LIT(" "));
	if (e == OK)
		e = buf_put(&as->buf, text);
	if (e == ERR_TOOBIG)
		as->too_long = true;
	else if (e != OK)
		l->out_of_memory = true;
}

void
conf_define_text(struct loader *l, struct slice text, const char *file)
{
	struct assembly as = { .line = 0 };
	struct slice line, content;
	unsigned number = 0;

	buf_init(&as.buf, &l->all->acct, 256, CONF_LINE_BYTES_MAX);
	while (conf_file_line(&text, &line)) {
		number++;
		content = slice_trim(line);
		if (content.len == 0 || content.data[0] == '#')
			continue;
		if (line.data[0] != ' ' && line.data[0] != '\t') {
			assembly_end(l, &as, file);
			as.line = number;
		} else if (as.line == 0) {
			conf_report_add(l->report, true,
			    (struct conf_place){ file, number }, SLICE_NONE,
			    content,
			    "it continues a line, and there is none above; "
			    "begin it in the first column");
			continue;
		}
		assembly_add(l, &as, content);
	}
	assembly_end(l, &as, file);
	buf_fini(&as.buf);
}
