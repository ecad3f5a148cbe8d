/*
 * table/lmdb: looking a key up in an LMDB file, by reading.
 *
 * The library maps its file and trusts what it finds there: a file that is
 * cut short kills the process (SIGBUS), a damaged page makes it read outside
 * the map or answer wrongly, and the map counts as memory of a role whose
 * memory is bounded.  This reader holds one page, checks every offset against
 * it, and calls whatever it cannot trust damaged.  It only looks up; making
 * such files is left to the library, in a command.
 *
 * Layout (0.9, also that of Postfix's lmdb: tables): pages 0 and 1 are metas,
 * of which the one with the higher transaction number holds.  It names the
 * root of a B+tree.  A page has a header, an array of 16-bit offsets, and
 * nodes.  A value too large for its page lies in a run of overflow pages.
 *
 * Happy path: metas, one page a level, metas again.  A writer that changes
 * the file in place spares the pages of the transaction before its own and no
 * older ones, so that what was read is good if the transaction is still the
 * same at the end; otherwise all is read again, a few times.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "table/impl.h"

enum {
	WORD =
	    sizeof(size_t), /* page numbers and sizes, as the host has them */
	PAGE_HEADER = WORD + 8,
	PAGE_FLAGS_AT = WORD + 2,
	PAGE_LOWER_AT = WORD + 4,
	PAGE_UPPER_AT = WORD + 6,
	NODE_HEADER = 8,

	META_MAPSIZE_AT = PAGE_HEADER + 8 + WORD,
	META_FREE_DB_AT = META_MAPSIZE_AT + WORD,
	DB_BYTES = 8 + 5 * WORD,
	META_MAIN_DB_AT = META_FREE_DB_AT + DB_BYTES,
	META_LAST_PAGE_AT = META_MAIN_DB_AT + DB_BYTES,
	META_TXN_AT = META_LAST_PAGE_AT + WORD,
	META_BYTES = META_TXN_AT + WORD,
	DB_FLAGS_AT = 4,
	DB_ROOT_AT = 8 + 4 * WORD,

	PAGE_BRANCH = 0x01,
	PAGE_LEAF = 0x02,
	PAGE_OVERFLOW = 0x04,
	PAGE_META = 0x08,
	PAGE_KINDS = 0x6f, /* all that tell what a page is */

	NODE_BIG = 0x01, /* the value lies in overflow pages */

	PAGE_BYTES_MIN = 256,
	PAGE_BYTES_MAX = 65536,
	DEPTH_MAX = 32,
	ATTEMPTS_MAX = 5,
};
static const uint32_t MAGIC = 0xBEEFC0DE;
static const uint32_t VERSION = 1;
static const size_t NO_PAGE = ~(size_t)0;

/* What a meta page says. */
struct meta {
	size_t root;
	size_t last_page;
	size_t txn;
	unsigned flags;
};

struct node {
	struct slice key;
	unsigned flags;
	size_t low;	  /* leaf: length of the value; branch: page */
	const char *data; /* leaf: behind the key */
};

static uint16_t
rd16(const char *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static uint32_t
rd32(const char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static size_t
rd_word(const char *at)
{
	size_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static enum err
damaged(struct errtext *et, const char *what)
{
	return err_set(et, ERR_CORRUPT, "damaged (%s)", what);
}

static enum err
read_at(const struct lmdb *db, char *to, size_t len, uint64_t at,
    struct errtext *et)
{
	size_t done = 0;
	ssize_t n;

	if (at > INT64_MAX - len)
		return damaged(et, "a page beyond the end");
	while (done < len) {
		n = pread(db->fd, to + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			(void)err_sys(et, errno, "cannot read");
			return ERR_IO;
		}
		if (n == 0)
			return damaged(et, "cut short");
		done += (size_t)n;
	}
	return OK;
}

static bool
is_meta(const char *page)
{
	return (rd16(page + PAGE_FLAGS_AT) & PAGE_META) != 0 &&
	       rd32(page + PAGE_HEADER) == MAGIC &&
	       rd32(page + PAGE_HEADER + 4) == VERSION;
}

enum err
lmdb_begin(struct lmdb *db, struct acct *a, int fd, struct errtext *et)
{
	char meta[META_BYTES];
	uint32_t size;
	enum err e;

	*db = (struct lmdb){ .fd = fd, .acct = a };
	e = read_at(db, meta, sizeof(meta), 0, et);
	if (e != OK)
		return e;
	if (!is_meta(meta))
		return err_set(et, ERR_CORRUPT, "not an LMDB file");
	size = rd32(meta + META_FREE_DB_AT);
	if (size < PAGE_BYTES_MIN || size > PAGE_BYTES_MAX ||
	    (size & (size - 1)) != 0)
		return damaged(et, "page size");
	db->page = mem_alloc(a, size);
	if (db->page == NULL)
		return err_set(et, ERR_NOMEM, "no memory for a page of it");
	db->page_bytes = size;
	return OK;
}

void
lmdb_end(struct lmdb *db)
{
	if (db->page != NULL)
		mem_free(db->acct, db->page);
	db->page = NULL;
}

/* The newer of the two metas. */
static enum err
read_meta(const struct lmdb *db, struct meta *out, struct errtext *et)
{
	bool found = false;
	enum err e;

	for (unsigned i = 0; i < 2; i++) {
		char page[META_BYTES];
		size_t txn;

		e = read_at(db, page, sizeof(page),
		    (uint64_t)i * db->page_bytes, et);
		if (e != OK)
			return e;
		if (!is_meta(page))
			continue;
		txn = rd_word(page + META_TXN_AT);
		if (found && txn <= out->txn)
			continue;
		found = true;
		out->txn = txn;
		out->root = rd_word(page + META_MAIN_DB_AT + DB_ROOT_AT);
		out->last_page = rd_word(page + META_LAST_PAGE_AT);
		out->flags = rd16(page + META_MAIN_DB_AT + DB_FLAGS_AT);
	}
	return found ? OK : damaged(et, "no meta page");
}

/* Into db->page, its header checked; the number of its nodes. */
static enum err
read_page(const struct lmdb *db, const struct meta *m, size_t number,
    unsigned *kind_out, unsigned *count_out, struct errtext *et)
{
	unsigned lower, upper;
	enum err e;

	if (number < 2 || number > m->last_page)
		return damaged(et, "page number");
	e = read_at(db, db->page, db->page_bytes,
	    (uint64_t)number * db->page_bytes, et);
	if (e != OK)
		return e;
	*kind_out = rd16(db->page + PAGE_FLAGS_AT) & PAGE_KINDS;
	if (*kind_out != PAGE_BRANCH && *kind_out != PAGE_LEAF)
		return damaged(et, "kind of page");
	lower = rd16(db->page + PAGE_LOWER_AT);
	upper = rd16(db->page + PAGE_UPPER_AT);
	if (rd_word(db->page) != number || lower <= PAGE_HEADER ||
	    lower > upper || upper > db->page_bytes)
		return damaged(et, "page header");
	*count_out = (lower - PAGE_HEADER) / 2;
	return *count_out > 0 ? OK : damaged(et, "empty page");
}

/* The i-th node of db->page. */
static enum err
read_node(const struct lmdb *db, unsigned kind, unsigned i, struct node *out,
    struct errtext *et)
{
	size_t at = rd16(db->page + PAGE_HEADER + 2 * i), end;
	const char *node = db->page + at;
	size_t lo, hi;

	if (at < PAGE_HEADER || at + NODE_HEADER > db->page_bytes)
		return damaged(et, "node");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	lo = rd16(node);
	hi = rd16(node + 2);
#else
	lo = rd16(node + 2);
	hi = rd16(node);
#endif
	out->flags = rd16(node + 4);
	out->key = slice_of(node + NODE_HEADER, rd16(node + 6));
	out->low = lo | hi << 16;
	end = at + NODE_HEADER + out->key.len;
	if (end > db->page_bytes)
		return damaged(et, "key");
	out->data = db->page + end;
	if (kind == PAGE_BRANCH) {
		/* Its flags are the upper bits of the page number. */
#if SIZE_MAX > UINT32_MAX
		out->low |= (size_t)out->flags << 32;
#endif
		return OK;
	}
	if ((out->flags & ~(unsigned)NODE_BIG) != 0)
		return err_set(et, ERR_CORRUPT,
		    "not a plain table (named or sorted databases in it)");
	end += out->flags & NODE_BIG ? WORD : out->low;
	return end <= db->page_bytes ? OK : damaged(et, "value");
}

static int
compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.data, b.data, n) : 0;

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

/*
 * The last node whose key is not above key, and whether it is equal; the
 * first one where all are above.  The key of the first node of a branch means
 * nothing: it is below everything.
 */
static enum err
search_page(const struct lmdb *db, unsigned kind, unsigned count,
    struct slice key, struct node *out, bool *equal_out, struct errtext *et)
{
	unsigned low = kind == PAGE_BRANCH ? 1 : 0, high = count;
	enum err e;

	*equal_out = false;
	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		int c;

		e = read_node(db, kind, mid, out, et);
		if (e != OK)
			return e;
		c = compare(out->key, key);
		if (c == 0 && kind == PAGE_LEAF) {
			*equal_out = true;
			return OK;
		}
		if (c <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return read_node(db, kind, low > 0 ? low - 1 : 0, out, et);
}

static enum err
read_value(const struct lmdb *db, const struct meta *m, const struct node *n,
    char *value, size_t value_max, size_t *len_out, struct errtext *et)
{
	char header[PAGE_HEADER];
	size_t page;
	enum err e;

	*len_out = n->low;
	if (n->low > value_max)
		return err_set(et, ERR_TOOBIG, "a value of %zu bytes", n->low);
	if (!(n->flags & NODE_BIG)) {
		memcpy(value, n->data, n->low);
		return OK;
	}
	page = rd_word(n->data);
	if (page < 2 || page > m->last_page)
		return damaged(et, "page of a value");
	e = read_at(db, header, sizeof(header), (uint64_t)page * db->page_bytes,
	    et);
	if (e != OK)
		return e;
	if ((rd16(header + PAGE_FLAGS_AT) & PAGE_KINDS) != PAGE_OVERFLOW ||
	    rd_word(header) != page ||
	    (uint64_t)rd32(header + PAGE_LOWER_AT) * db->page_bytes <
		PAGE_HEADER + n->low)
		return damaged(et, "page of a value");
	return read_at(db, value, n->low,
	    (uint64_t)page * db->page_bytes + PAGE_HEADER, et);
}

static enum err
find(const struct lmdb *db, const struct meta *m, struct slice key, char *value,
    size_t value_max, size_t *len_out, struct errtext *et)
{
	size_t page = m->root;
	struct node node;
	unsigned kind = 0, count = 0;
	bool equal;
	enum err e;

	if (m->flags != 0)
		return err_set(et, ERR_CORRUPT, "not a plain table (flags %u)",
		    m->flags);
	if (page == NO_PAGE)
		return ERR_NOTFOUND;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		e = read_page(db, m, page, &kind, &count, et);
		if (e == OK)
			e = search_page(db, kind, count, key, &node, &equal,
			    et);
		if (e != OK)
			return e;
		if (kind == PAGE_LEAF)
			return equal ? read_value(db, m, &node, value,
					   value_max, len_out, et)
				     : ERR_NOTFOUND;
		page = node.low;
	}
	return damaged(et, "too deep");
}

enum err
lmdb_find(struct lmdb *db, struct slice key, char *value, size_t value_max,
    size_t *len_out, struct errtext *et)
{
	struct meta before, after;
	enum err e, found;

	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		e = read_meta(db, &before, et);
		if (e != OK)
			return e;
		found = find(db, &before, key, value, value_max, len_out, et);
		e = read_meta(db, &after, et);
		if (e != OK)
			return e;
		if (after.txn == before.txn)
			return found;
	}
	return err_set(et, ERR_AGAIN, "it is being changed all the time");
}
