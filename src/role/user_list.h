/*
 * user_list: the user ids that a list of users in the configuration means.
 */
#pragma once

#include <sys/types.h>

struct conf_list;

enum { ROLE_USERS_MAX = 64 };

/*
 * role_users(list, parameter, out):
 * Names and numbers of list as user ids; returns how many.  Reads the user
 * database: before the sandbox closes.  What is no user, or one too many, is
 * said in the log with the name of the parameter, and left out.
 */
unsigned role_users(const struct conf_list *list, const char *parameter,
    uid_t out[static ROLE_USERS_MAX]);
