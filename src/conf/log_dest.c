#include "conf/log_dest.h"

enum { SIZE_DEFAULT = 99999, NUM_DEFAULT = 10 }; /* multilog's */

static enum err
parse_bound(struct slice word, uint32_t min, uint32_t max, uint32_t *out,
    struct errtext *et)
{
	uint64_t n;

	if (!slice_to_u64(slice_sub(word, 1, word.len), max, &n) || n < min)
		return err_set(et, ERR_CONFIG, "\"%.*s\"; write %c%u to %c%u",
		    SLICE_ARGS(word), word.data[0], min, word.data[0], max);
	*out = (uint32_t)n;
	return OK;
}

static enum err
parse_multilog(struct slice rest, struct log_dest *out, struct errtext *et)
{
	struct slice word;
	enum err e = OK;

	out->size_bytes = SIZE_DEFAULT;
	out->num = NUM_DEFAULT;
	if (rest.len == 0 || rest.data[0] != '/' ||
	    !slice_word(&rest, " \t", &out->dir) ||
	    out->dir.len > LOG_DEST_DIR_BYTES_MAX)
		return err_set(et, ERR_CONFIG,
		    "multilog: needs an absolute path; write "
		    "multilog:/DIR [sSIZE] [nNUM]");
	while (e == OK && slice_word(&rest, " \t", &word)) {
		if (word.data[0] == 's')
			e = parse_bound(word, LOG_DEST_SIZE_MIN,
			    LOG_DEST_SIZE_MAX, &out->size_bytes, et);
		else if (word.data[0] == 'n')
			e = parse_bound(word, LOG_DEST_NUM_MIN,
			    LOG_DEST_NUM_MAX, &out->num, et);
		else
			e = err_set(et, ERR_CONFIG,
			    "\"%.*s\"; write multilog:/DIR [sSIZE] [nNUM]",
			    SLICE_ARGS(word));
	}
	return e;
}

enum err
log_dest_parse(struct slice value, struct log_dest *out, struct errtext *et)
{
	static const struct slice multilog = SLICE_LIT("multilog:");

	*out = (struct log_dest){ .kind = LOG_DEST_STDERR };
	if (slice_eq_nocase(value, SLICE_LIT("stderr")))
		return OK;
	out->kind = LOG_DEST_SYSLOG;
	if (slice_eq_nocase(value, SLICE_LIT("syslog")))
		return OK;
	out->kind = LOG_DEST_MULTILOG;
	if (slice_starts_nocase(value, multilog))
		return parse_multilog(slice_sub(value, multilog.len, value.len),
		    out, et);
	return err_set(et, ERR_CONFIG,
	    "unknown word; write stderr, syslog or "
	    "multilog:/DIR [sSIZE] [nNUM]");
}
