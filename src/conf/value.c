/*
 * conf/value: texts as numbers, words and yes or no.
 */
#include "base/assert.h"
#include "conf/load.h"

struct suffix {
	const char *word;
	int64_t factor;
};

static const struct suffix time_suffixes[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 3600 * 1000 },
	{ "d", 86400 * 1000LL },
	{ "w", 7 * 86400 * 1000LL },
	{ NULL, 0 },
};

static const struct suffix size_suffixes[] = {
	{ "", 1 },
	{ "k", 1LL << 10 },
	{ "M", 1LL << 20 },
	{ "G", 1LL << 30 },
	{ "T", 1LL << 40 },
	{ NULL, 0 },
};

static const struct suffix plain_suffixes[] = {
	{ "", 1 },
	{ NULL, 0 },
};

static const struct suffix percent_suffixes[] = {
	{ "", 1 },
	{ "%", 1 },
	{ NULL, 0 },
};

static const struct suffix *
suffixes_of(const struct conf_param *p)
{
	if (p->type == CONF_TYPE_TIME)
		return time_suffixes;
	if (p->type == CONF_TYPE_SIZE)
		return size_suffixes;
	if (slice_eq(slice_str(p->unit), SLICE_LIT("percent")))
		return percent_suffixes;
	return plain_suffixes;
}

static const char *
number_form(const struct conf_param *p)
{
	if (p->type == CONF_TYPE_TIME)
		return "write a number with ms, s, m, h, d or w";
	if (p->type == CONF_TYPE_SIZE)
		return "write a number, with K, M, G or T if you like";
	return "write a number";
}

enum err
conf_number_parse(const struct conf_param *p, struct slice text, int64_t *out,
    struct errtext *et)
{
	const struct suffix *s = suffixes_of(p);
	struct slice word;
	uint64_t n;
	size_t digits = 0;

	while (digits < text.len && text.data[digits] >= '0' &&
	       text.data[digits] <= '9')
		digits++;
	if (digits == 0)
		return err_set(et, ERR_SYNTAX, "not a %s; %s",
		    conf_type_name(p->type), number_form(p));
	if (!slice_to_u64(slice_sub(text, 0, digits), INT64_MAX, &n))
		return err_set(et, ERR_TOOBIG, "too large a number");
	word = slice_trim(slice_sub(text, digits, text.len));
	if (word.len == 0 && p->type == CONF_TYPE_TIME)
		word = slice_str(p->unit);
	while (s->word != NULL && !slice_eq_nocase(word, slice_str(s->word)))
		s++;
	if (s->word == NULL)
		return err_set(et, ERR_SYNTAX, "unknown unit; %s",
		    number_form(p));
	if (__builtin_mul_overflow((int64_t)n, s->factor, out))
		return err_set(et, ERR_TOOBIG, "too large a number");
	return OK;
}

enum err
conf_number_check(const struct conf_param *p, struct slice text, int64_t *out,
    struct errtext *et)
{
	int64_t least, most;
	enum err e;

	e = conf_number_parse(p, slice_str(p->least), &least, NULL);
	ASSERT(e == OK);
	e = conf_number_parse(p, slice_str(p->most), &most, NULL);
	ASSERT(e == OK);
	e = conf_number_parse(p, text, out, et);
	if (e == ERR_SYNTAX)
		return ERR_CONFIG;
	if (e == ERR_TOOBIG || *out > most)
		return err_set(et, ERR_CONFIG, "above the most; write %s to %s",
		    p->least, p->most);
	if (*out < least)
		return err_set(et, ERR_CONFIG,
		    "below the least; write %s to %s", p->least, p->most);
	return OK;
}

enum err
conf_word_check(const struct conf_param *p, struct slice text, int *out,
    struct errtext *et)
{
	struct slice words = slice_str(p->values), word;
	int n = 0;

	while (slice_word(&words, " ", &word)) {
		if (slice_eq_nocase(word, text)) {
			*out = n;
			return OK;
		}
		n++;
	}
	return err_set(et, ERR_CONFIG, "unknown word; write %s%s",
	    n > 1 ? "one of: " : "", p->values);
}

enum err
conf_bool_check(struct slice text, bool *out, struct errtext *et)
{
	*out = slice_eq_nocase(text, SLICE_LIT("yes"));
	if (*out || slice_eq_nocase(text, SLICE_LIT("no")))
		return OK;
	return err_set(et, ERR_CONFIG, "neither yes nor no; write one of them");
}
