/*
 * conf/param: the rows of params.def and control.def as data, and names.
 */
#include "conf/param.h"

#define COMMON(kind, name) #name, CONF_TYPE_##kind
#define WHERE(when, group, roles, text, member)            \
	CONF_WHEN_##when, CONF_GROUP_##group, roles, text, \
	    offsetof(struct conf, member)

const struct conf_param conf_params[CONF_ID_COUNT] = {
#define TIME(n, def, least, most, unit, zero, when, group, roles, text)       \
	{ COMMON(TIME, n), def, least, most, unit, zero, CONF_CHECK_NONE, "", \
		WHERE(when, group, roles, text, n##_ms) },
#define SIZE(n, def, least, most, zero, when, group, roles, text)            \
	{ COMMON(SIZE, n), def, least, most, "bytes", zero, CONF_CHECK_NONE, \
		"", WHERE(when, group, roles, text, n##_bytes) },
#define INT(n, def, least, most, unit, zero, when, group, roles, text)       \
	{ COMMON(INT, n), def, least, most, unit, zero, CONF_CHECK_NONE, "", \
		WHERE(when, group, roles, text, n) },
#define BOOL(n, def, when, group, roles, text)                           \
	{ COMMON(BOOL, n), def, NULL, NULL, "", "", CONF_CHECK_NONE, "", \
		WHERE(when, group, roles, text, n) },
#define STR(n, def, check, values, when, group, roles, text)                   \
	{ COMMON(STR, n), def, NULL, NULL, "", "", CONF_CHECK_##check, values, \
		WHERE(when, group, roles, text, n) },
#define ENUM(n, def, values, when, group, roles, text)                        \
	{ COMMON(ENUM, n), def, NULL, NULL, "", "", CONF_CHECK_WORDS, values, \
		WHERE(when, group, roles, text, n) },
#define LIST(n, def, check, values, when, group, roles, text)           \
	{ COMMON(LIST, n), def, NULL, NULL, "", "", CONF_CHECK_##check, \
		values, WHERE(when, group, roles, text, n) },
#include "conf/params.def"
};

const struct conf_control conf_controls[] = {
#define CONTROL(file, name, def, kind, unit) \
	{ file, CONF_ID_##name, def, CONF_CONTROL_##kind, unit },
#include "conf/control.def"
};
const size_t conf_control_count = ARRAY_LEN(conf_controls);

const char *
conf_group_title(enum conf_group g)
{
	static const char *const titles[CONF_GROUP_COUNT] = {
		[CONF_GROUP_IDENTITY] = "Identity",
		[CONF_GROUP_LISTENING] = "Listening",
		[CONF_GROUP_PLACES] = "Places",
		[CONF_GROUP_DELIVERY] = "Delivery",
		[CONF_GROUP_MEMORY] = "Memory",
		[CONF_GROUP_CONCURRENCY] = "Concurrency and rates",
		[CONF_GROUP_TRANSPORTS] = "Limits of single transports",
		[CONF_GROUP_SIZES] = "Sizes of objects",
		[CONF_GROUP_DISK] = "Disk",
		[CONF_GROUP_COUNTS] = "Counts",
		[CONF_GROUP_BOUNCES] = "Reports",
		[CONF_GROUP_LOCKS] = "Locks",
		[CONF_GROUP_RECOVERY] = "Recovery",
		[CONF_GROUP_QUEUE_TIMES] = "Times of the queue",
		[CONF_GROUP_SESSION_TIMES] = "Times of sessions",
		[CONF_GROUP_STRICTNESS] = "Strictness",
	};

	return titles[g];
}

const char *
conf_type_name(enum conf_type t)
{
	static const char *const names[] = {
		[CONF_TYPE_TIME] = "time",
		[CONF_TYPE_SIZE] = "size",
		[CONF_TYPE_INT] = "number",
		[CONF_TYPE_BOOL] = "yes or no",
		[CONF_TYPE_STR] = "text",
		[CONF_TYPE_ENUM] = "word",
		[CONF_TYPE_LIST] = "list",
	};

	return names[t];
}

const struct conf_param *
conf_param_find(struct slice name)
{
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		if (slice_eq(name, slice_str(conf_params[i].name)))
			return &conf_params[i];
	return NULL;
}

enum { NAME_BYTES_MAX = 64, NEAR_LIMIT_MAX = 7 };

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edit distance (optimal string alignment) of two names of at most
 * NAME_BYTES_MAX bytes: three rows of the matrix suffice. */
static size_t
edit_distance(struct slice a, struct slice b)
{
	size_t rows[3][NAME_BYTES_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= b.len; j++)
		before[j] = above[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t differs = a.data[i - 1] != b.data[j - 1];

			row[j] = min3(above[j] + 1, row[j - 1] + 1,
			    above[j - 1] + differs);
			if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
			    a.data[i - 2] == b.data[j - 1] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b.len];
}

size_t
conf_near_limit(struct slice name)
{
	size_t limit = name.len / 3 + 1;

	if (name.len == 0 || name.len > NAME_BYTES_MAX)
		return 0;
	return limit < NEAR_LIMIT_MAX ? limit : NEAR_LIMIT_MAX;
}

void
conf_near_consider(struct slice name, const char *known, const char **best,
    size_t *best_distance)
{
	struct slice k = slice_str(known);
	size_t d;

	if (k.len > NAME_BYTES_MAX || name.len > NAME_BYTES_MAX)
		return;
	d = edit_distance(name, k);
	if (d < *best_distance) {
		*best_distance = d;
		*best = known;
	}
}

const char *
conf_param_nearest(struct slice name)
{
	const char *best = NULL;
	size_t distance = conf_near_limit(name);

	for (size_t i = 0; i < CONF_ID_COUNT && distance > 0; i++)
		conf_near_consider(name, conf_params[i].name, &best, &distance);
	for (size_t i = 0; i < conf_control_count && distance > 0; i++)
		conf_near_consider(name, conf_controls[i].file, &best,
		    &distance);
	return best;
}
