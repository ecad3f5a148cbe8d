/*
 * place: the queue_directory of the server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * place_find(conf_path, buf, size):
 * From weir.conf: conf_path, or NULL for the default one, which may be
 * missing.  False after a message on standard error.
 */
bool place_find(const char *conf_path, char *buf, size_t size);
