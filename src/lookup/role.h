/*
 * lookup/role: what weir-lookup does for role_main.
 */
#pragma once

#include "role/role.h"

extern const struct role_ops lookup_role_ops;
