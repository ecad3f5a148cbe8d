#include "alias/assign.h"

#include <string.h>

static char
lower_char(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The next field of *rest, which ends at c; false if it does not end. */
static bool
field(struct slice *rest, char c, struct slice *out)
{
	size_t n = slice_find(*rest, c);

	*out = slice_sub(*rest, 0, n);
	if (n == rest->len)
		return false;
	*rest = slice_sub(*rest, n + 1, rest->len);
	return true;
}

static enum err
check_user(struct slice uid, struct slice gid, struct assign_user *u,
    struct errtext *et)
{
	uint64_t number;

	if (!slice_to_u64(uid, UINT32_MAX - 1, &number) || number == 0)
		return err_set(et, ERR_CONFIG, "\"%.*s\" is no user id",
		    SLICE_ARGS(slice_sub(uid, 0, 40)));
	u->uid = (uint32_t)number;
	if (!slice_to_u64(gid, UINT32_MAX - 1, &number))
		return err_set(et, ERR_CONFIG, "\"%.*s\" is no group id",
		    SLICE_ARGS(slice_sub(gid, 0, 40)));
	u->gid = (uint32_t)number;
	if (u->user.len == 0)
		return err_set(et, ERR_CONFIG, "no user");
	if (u->home.len == 0 || u->home.data[0] != '/')
		return err_set(et, ERR_CONFIG, "no absolute home directory");
	return OK;
}

enum err
assign_parse_line(struct slice line, struct assign_line *out,
    struct errtext *et)
{
	struct slice rest = line, uid, gid;
	char kind = line.len > 0 ? line.data[0] : '\0';

	if (slice_eq(line, SLICE_LIT(".")))
		return ERR_NOTFOUND;
	if (kind != '=' && kind != '+')
		return err_set(et, ERR_CONFIG,
		    "neither =local:... nor +prefix:...");
	if (slice_find(line, '\0') < line.len)
		return err_set(et, ERR_CONFIG, "a null byte");
	*out = (struct assign_line){ .wild = kind == '+' };
	rest = slice_sub(rest, 1, rest.len);
	if (!field(&rest, ':', &out->local) ||
	    !field(&rest, ':', &out->to.user) || !field(&rest, ':', &uid) ||
	    !field(&rest, ':', &gid) || !field(&rest, ':', &out->to.home) ||
	    !field(&rest, ':', &out->to.dash) ||
	    !field(&rest, ':', &out->to.ext))
		return err_set(et, ERR_CONFIG, "fewer than seven colons");
	if (out->local.len > ASSIGN_LOCAL_BYTES_MAX)
		return err_set(et, ERR_CONFIG, "the name is too long");
	return check_user(uid, gid, &out->to, et);
}

bool
assign_line_matches(const struct assign_line *l, struct slice local,
    struct slice *rest_out)
{
	*rest_out = slice_sub(local, l->local.len, local.len);
	return l->wild ? slice_starts_nocase(local, l->local)
		       : slice_eq_nocase(local, l->local);
}

size_t
assign_key(const struct assign_line *l, char key[static ASSIGN_KEY_BYTES_MAX])
{
	size_t len = 0;

	if (l->local.len + 2 > ASSIGN_KEY_BYTES_MAX)
		return 0;
	key[len++] = '!';
	for (size_t i = 0; i < l->local.len; i++)
		key[len++] = lower_char(l->local.data[i]);
	if (!l->wild)
		key[len++] = '\0';
	return len;
}

/* Decimal digits of n at the end of buf. */
static struct slice
digits(uint32_t n, char buf[static 10])
{
	size_t at = 10;

	do {
		buf[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return slice_of(buf + at, 10 - at);
}

size_t
assign_value(const struct assign_line *l,
    char value[static ASSIGN_VALUE_BYTES_MAX])
{
	char uid[10], gid[10];
	const struct slice parts[] = { l->to.user, digits(l->to.uid, uid),
		digits(l->to.gid, gid), l->to.home, l->to.dash, l->to.ext };
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (i > 0)
			value[len++] = '\0';
		if (parts[i].len + 1 > ASSIGN_VALUE_BYTES_MAX - len)
			return 0;
		if (parts[i].len > 0)
			memcpy(value + len, parts[i].data, parts[i].len);
		len += parts[i].len;
	}
	return len;
}

enum err
assign_search_begin(struct assign_search *s, struct slice local)
{
	if (local.len > ASSIGN_LOCAL_BYTES_MAX)
		return ERR_TOOBIG;
	s->key[0] = '!';
	for (size_t i = 0; i < local.len; i++)
		s->key[1 + i] = lower_char(local.data[i]);
	s->key[1 + local.len] = '\0';
	s->local_len = local.len;
	s->at = 0;
	memset(s->last_chars, 0, sizeof(s->last_chars));
	return OK;
}

void
assign_search_chars(struct assign_search *s, struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];

		s->last_chars[c / 8] |= (uint8_t)(1u << (c % 8));
	}
}

/* May a prefix end behind the first len bytes of the key? */
static bool
may_end(const struct assign_search *s, size_t len)
{
	unsigned char c = (unsigned char)s->key[len - 1];

	return len == 1 || (s->last_chars[c / 8] & 1u << (c % 8)) != 0;
}

bool
assign_search_next(struct assign_search *s, struct slice *key_out,
    size_t *rest_len_out)
{
	*rest_len_out = 0;
	if (s->at == 0) {
		s->at = s->local_len + 2;
		*key_out = slice_of(s->key, s->at);
		return true;
	}
	while (s->at > 1) {
		s->at--;
		if (!may_end(s, s->at))
			continue;
		*key_out = slice_of(s->key, s->at);
		*rest_len_out = s->local_len + 1 - s->at;
		return true;
	}
	return false;
}

enum err
assign_parse_value(struct slice value, struct assign_user *out,
    struct errtext *et)
{
	struct slice rest = value, uid, gid;

	*out = (struct assign_user){ .uid = 0 };
	if (!field(&rest, '\0', &out->user) || !field(&rest, '\0', &uid) ||
	    !field(&rest, '\0', &gid) || !field(&rest, '\0', &out->home) ||
	    !field(&rest, '\0', &out->dash))
		return err_set(et, ERR_CONFIG,
		    "users/cdb: a value is too short");
	/* Some makers end the last one as well. */
	(void)field(&rest, '\0', &out->ext);
	return check_user(uid, gid, out, et);
}
