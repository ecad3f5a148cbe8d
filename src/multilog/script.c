#include "multilog/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/time.h"
#include "base/tool.h"
#include "multilog/pattern.h"
#include "multilog/pause.h"
#include "multilog/tai.h"

/* ---- words ---- */

/* What holds for the directories that follow. */
struct settings {
	uint32_t size, num;
	const char *processor;
};

/* As multilog reads numbers: the digits in front; what is out of bounds becomes
 * the bound.  It says so, though. */
static uint32_t
bounded(const char *word, uint32_t min, uint32_t max)
{
	struct slice digits = slice_str(word + 1);
	uint64_t n = 0;
	uint32_t used;

	digits.len = strspn(digits.data, "0123456789");
	if (digits.len > 0 && !slice_to_u64(digits, UINT32_MAX, &n))
		n = UINT32_MAX;
	used = n < min ? min : n > max ? max : (uint32_t)n;
	if (n != used || word[1 + digits.len] != '\0')
		tool_warn(0, "%s: %u is used", word, used);
	return used;
}

static void
open_status(struct action *a)
{
	a->fd = open(a->word, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (a->fd < 0)
		tool_die(TOOL_TEMP, errno, "unable to create %s", a->word);
}

static void
open_dir(struct script *s, struct action *a, const struct settings *set)
{
	struct errtext et;

	a->dir = mem_alloc(s->acct, sizeof(*a->dir));
	if (a->dir == NULL)
		tool_die(TOOL_TEMP, ENOMEM, "unable to open directory %s",
		    a->word);
	a->dir->path = a->word;
	a->dir->size_max = set->size;
	a->dir->num = set->num;
	a->dir->processor = set->processor;
	errno = 0;
	if (logdir_open(a->dir, &et) != OK)
		tool_die(TOOL_TEMP, 0, "%s", et.text);
}

/* One word; true if it is an action that each line meets. */
static bool
take_word(struct script *s, const char *word, bool first, struct action *a,
    struct settings *set)
{
	*a = (struct action){ .word = word + 1, .fd = -1 };
	switch (word[0]) {
	case 's':
		set->size = bounded(word, LOGDIR_SIZE_MIN, LOGDIR_SIZE_MAX);
		return false;
	case 'n':
		set->num = bounded(word, LOGDIR_NUM_MIN, INT32_MAX);
		return false;
	case '!': set->processor = word + 1; return false;
	case 't':
		s->stamp = s->stamp || first;
		if (!first)
			tool_warn(0, "t is not the first action: ignored");
		return false;
	case '-': a->kind = ACTION_DESELECT; return true;
	case '+': a->kind = ACTION_SELECT; return true;
	case 'e': a->kind = ACTION_ALERT; return true;
	case '=': a->kind = ACTION_STATUS; return true;
	case '.':
	case '/':
		a->kind = ACTION_DIR;
		a->word = word;
		return true;
	default: tool_warn(0, "%s is no action: ignored", word); return false;
	}
}

void
script_open(struct script *s, struct acct *acct, int argc, char **argv)
{
	struct settings set = { LOGDIR_SIZE_DEFAULT, LOGDIR_NUM_DEFAULT, NULL };

	*s = (struct script){ .acct = acct };
	if (argc == 0)
		return;
	s->actions = mem_alloc_array(acct, (size_t)argc, sizeof(*s->actions));
	if (s->actions == NULL)
		tool_die(TOOL_TEMP, ENOMEM, "unable to begin");
	for (int i = 0; i < argc; i++) {
		struct action *a = &s->actions[s->count];

		if (!take_word(s, argv[i], i == 0, a, &set))
			continue;
		s->count++;
		if (a->kind == ACTION_STATUS)
			open_status(a);
		if (a->kind == ACTION_DIR)
			open_dir(s, a, &set);
	}
}

/* ---- lines ---- */

static void
alert(struct slice text)
{
	char line[SCRIPT_ALERT_BYTES + 4];
	size_t len = text.len;

	if (len > SCRIPT_ALERT_BYTES) {
		len = SCRIPT_ALERT_BYTES;
		memcpy(line + len, "...", 3);
	}
	memcpy(line, text.data, len);
	len += len < text.len ? 3 : 0;
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

static void
write_status(const struct action *a, struct slice text)
{
	char file[SCRIPT_STATUS_BYTES];

	memset(file, '\n', sizeof(file));
	memcpy(file, text.data, text.len);
	while (pwrite(a->fd, file, sizeof(file), 0) != sizeof(file)) {
		tool_warn(errno, "unable to write to %s, pausing", a->word);
		pause_here();
	}
}

/* The head is what patterns see of the line: where does it go? */
static void
decide(struct script *s)
{
	struct slice head = slice_of(s->head, s->head_len);
	bool selected = true;

	s->decided = true;
	for (size_t i = 0; i < s->count; i++) {
		struct action *a = &s->actions[i];

		a->on = selected;
		switch (a->kind) {
		case ACTION_DESELECT:
		case ACTION_SELECT:
			if (pattern_match(slice_str(a->word), head))
				selected = a->kind == ACTION_SELECT;
			break;
		case ACTION_ALERT:
			if (selected)
				alert(head);
			break;
		case ACTION_STATUS:
			if (selected)
				write_status(a, head);
			break;
		case ACTION_DIR:
			if (selected)
				logdir_put(a->dir, head);
			break;
		}
	}
}

/* The rest of a line whose way is known. */
static void
pass(struct script *s, struct slice text)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->actions[i].kind == ACTION_DIR && s->actions[i].on)
			logdir_put(s->actions[i].dir, text);
}

static void
begin_line(struct script *s)
{
	s->in_line = true;
	s->decided = false;
	s->head_len = 0;
	if (s->stamp) {
		tai_stamp(clock_wall_ns(), s->head);
		s->head_len = TAI_STAMP_BYTES;
	}
}

/* A part of a line, without its end. */
static void
add(struct script *s, struct slice text)
{
	size_t room = sizeof(s->head) - s->head_len;
	size_t len = text.len < room ? text.len : room;

	if (!s->decided) {
		memcpy(s->head + s->head_len, text.data, len);
		s->head_len += len;
		if (s->head_len < sizeof(s->head))
			return;
		decide(s);
		text = slice_sub(text, len, text.len);
	}
	pass(s, text);
}

static void
end_line(struct script *s)
{
	if (!s->decided)
		decide(s);
	pass(s, SLICE_LIT("\n"));
	s->in_line = false;
}

void
script_feed(struct script *s, struct slice text)
{
	while (text.len > 0) {
		size_t end = slice_find(text, '\n');

		if (!s->in_line)
			begin_line(s);
		add(s, slice_sub(text, 0, end));
		if (end == text.len)
			return;
		end_line(s);
		text = slice_sub(text, end + 1, text.len);
	}
}

void
script_flush(struct script *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->actions[i].kind == ACTION_DIR)
			logdir_flush(s->actions[i].dir);
}

void
script_rotate(struct script *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->actions[i].kind == ACTION_DIR)
			logdir_rotate(s->actions[i].dir);
}

void
script_close(struct script *s)
{
	if (s->in_line)
		end_line(s);
	for (size_t i = 0; i < s->count; i++)
		if (s->actions[i].kind == ACTION_DIR)
			logdir_close(s->actions[i].dir);
}
