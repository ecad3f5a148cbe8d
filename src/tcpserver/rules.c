#include "tcpserver/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { INFO_BYTES_MAX = 512, HOST_BYTES_MAX = 1024 };

/* Look for "INFO@" (if with_info) "=" (if is_host) NAME. */
static int
look(struct rules *r, const struct slice *info, const char *mark,
    struct slice name)
{
	int n = info == NULL ? snprintf(r->key, sizeof(r->key), "%s%.*s", mark,
				   SLICE_ARGS(name))
			     : snprintf(r->key, sizeof(r->key), "%.*s@%s%.*s",
				   SLICE_ARGS(*info), mark, SLICE_ARGS(name));

	/* Lengths are bounded by the caller, and zeros by whoever made them
	 * strings. */
	r->key_len = (size_t)n;
	n = cdb_find(&r->cdb, r->key, (unsigned)r->key_len);
	if (n > 0) {
		const void *data = cdb_getdata(&r->cdb);

		if (data == NULL)
			return -1;
		r->data = slice_of(data, cdb_datalen(&r->cdb));
		r->found = true;
	}
	return n;
}

/* 10.1.2.3: "10.1.2.", "10.1.", "10." */
static int
look_parts_v4(struct rules *r, struct slice ip)
{
	int found = 0;

	while (found == 0 && ip.len > 0) {
		ip.len--;
		if (ip.len > 0 && ip.data[ip.len - 1] == '.')
			found = look(r, NULL, "", ip);
	}
	return found;
}

/* ADDRESS/127 down to ::/0, each with its last bits cleared. */
static int
look_parts_v6(struct rules *r, struct slice ip)
{
	char text[INET6_ADDRSTRLEN + 8];
	struct in6_addr a;
	int found = 0;

	if (!slice_copy(ip, text, sizeof(text)) ||
	    inet_pton(AF_INET6, text, &a) != 1)
		return 0;
	for (unsigned bits = 128; found == 0 && bits-- > 0;) {
		size_t len;

		a.s6_addr[bits / 8] &= (uint8_t) ~(0x80 >> bits % 8);
		(void)inet_ntop(AF_INET6, &a, text, sizeof(text));
		len = strlen(text);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "/%u",
		    bits);
		found = look(r, NULL, "", slice_of(text, len));
	}
	return found;
}

/* a.example.com: "=.example.com", "=.com", "=" */
static int
look_ends(struct rules *r, struct slice host)
{
	int found = 0;

	for (size_t i = 0; found == 0 && i <= host.len; i++)
		if (i == host.len || host.data[i] == '.')
			found =
			    look(r, NULL, "=", slice_sub(host, i, host.len));
	return found;
}

static int
look_all(struct rules *r, struct slice ip, struct slice host,
    const struct slice *info)
{
	bool named = host.data != NULL;
	int found = 0;

	if (info != NULL)
		found = look(r, info, "", ip);
	if (found == 0 && info != NULL && named)
		found = look(r, info, "=", host);
	if (found == 0)
		found = look(r, NULL, "", ip);
	if (found == 0 && named)
		found = look(r, NULL, "=", host);
	if (found == 0)
		found = slice_find(ip, ':') < ip.len ? look_parts_v6(r, ip)
						     : look_parts_v4(r, ip);
	if (found == 0 && named)
		found = look_ends(r, host);
	if (found == 0)
		found = look(r, NULL, "", SLICE_NONE);
	return found;
}

enum err
rules_find(struct rules *r, int fd, const struct rules_client *client)
{
	struct slice info = slice_sub(client->info, 0, INFO_BYTES_MAX);
	struct stat st;
	int found;

	r->found = false;
	if (fstat(fd, &st) != 0)
		return ERR_SYS;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return ERR_SYS;
	}
	if (cdb_init(&r->cdb, fd) != 0)
		return errno == EPROTO ? ERR_CORRUPT : ERR_SYS;
	found =
	    look_all(r, client->ip, slice_sub(client->host, 0, HOST_BYTES_MAX),
		client->info.data == NULL ? NULL : &info);
	if (found < 0) {
		errno = EPROTO;
		return ERR_CORRUPT;
	}
	return OK;
}

bool
rules_step(struct slice *data, struct rules_step *step)
{
	while (data->len > 0) {
		size_t end = slice_find(*data, '\0');

		if (end == data->len)
			return false; /* not terminated: damaged */
		step->what = data->data[0];
		step->variable = data->data + 1;
		*data = slice_sub(*data, end + 1, data->len);
		if (step->what == 'D' ||
		    (step->what == '+' && strchr(step->variable, '=') != NULL))
			return true;
	}
	return false;
}
