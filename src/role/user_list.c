#include "role/user_list.h"

#include <pwd.h>
#include <stdbool.h>

#include "base/log.h"
#include "conf/conf.h"

static bool
find_user(struct slice item, uid_t *out)
{
	char name[64];
	struct passwd *pw = NULL;
	uint64_t uid;

	if (slice_to_u64(item, UINT32_MAX - 1, &uid)) {
		*out = (uid_t)uid;
		return true;
	}
	if (slice_copy(item, name, sizeof(name)))
		pw = getpwnam(name);
	if (pw == NULL)
		return false;
	*out = pw->pw_uid;
	return true;
}

unsigned
role_users(const struct conf_list *list, const char *parameter,
    uid_t out[static ROLE_USERS_MAX])
{
	unsigned count = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (count < ROLE_USERS_MAX &&
		    find_user(list->items[i], &out[count]))
			count++;
		else
			log_warning("%s: %.*s is not a user of this system, or "
				    "one too many",
			    parameter, SLICE_ARGS(list->items[i]));
	}
	return count;
}
