/*
 * make_int: the two formats, for make.c.
 */
#pragma once

#include "postmap/make.h"

/* The errors of make.h; begin expects an empty file m->fd. */
MUST_CHECK enum err make_cdb_begin(struct make *m, struct errtext *et);
MUST_CHECK enum err make_cdb_put(struct make *m, struct slice key,
    struct slice value, enum make_twice twice, bool *was_there_out,
    struct errtext *et);
MUST_CHECK enum err make_cdb_end(struct make *m, struct errtext *et);
void make_cdb_drop(struct make *m);
MUST_CHECK enum err make_cdb_each(const char *path, make_each_fn *each,
    void *arg, struct errtext *et);

/* The same. */
MUST_CHECK enum err make_lmdb_begin(struct make *m, struct errtext *et);
MUST_CHECK enum err make_lmdb_put(struct make *m, struct slice key,
    struct slice value, enum make_twice twice, bool *was_there_out,
    struct errtext *et);
MUST_CHECK enum err make_lmdb_end(struct make *m, struct errtext *et);
void make_lmdb_drop(struct make *m);
MUST_CHECK enum err make_lmdb_each(const char *path, make_each_fn *each,
    void *arg, struct errtext *et);
