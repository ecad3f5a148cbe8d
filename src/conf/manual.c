/*
 * manual: prints weir.conf(5), in mdoc, from the parameter table.
 *
 * Run at build time.  What is general stands here, what belongs to one
 * parameter in params.def.
 */
#include <stdio.h>
#include <string.h>

#include "conf/param.h"

enum { LINE_BYTES = 76 };

static void
put_word(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\')
			fputs("\\e", stdout);
		else
			putchar(s[i]);
	}
}

/* Text in lines, each sentence beginning one, as mdoc wants it, and with
 * nothing that mdoc would take for its own.  Words have one blank between
 * them. */
static void
put_text(const char *s)
{
	size_t column = 0, word;
	bool sentence = false; /* the word before ended one */

	while ((word = strcspn(s, " ")) > 0) {
		if (column + 1 + word > LINE_BYTES ||
		    (sentence && *s >= 'A' && *s <= 'Z')) {
			putchar('\n');
			column = 0;
		} else if (column > 0) {
			putchar(' ');
			column++;
		}
		if (column == 0 && (*s == '.' || *s == '\''))
			fputs("\\&", stdout);
		put_word(s, word);
		sentence = s[word - 1] == '.';
		column += word;
		s += word;
		s += *s == ' ';
	}
	putchar('\n');
}

/* A value as an argument of a macro: quoted, never empty. */
static void
put_quoted(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"')
			fputs("\\(dq", stdout);
		else if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
	putchar('"');
}

/* "A size, 32M to 1T." and what 0 means. */
static void
put_range(const struct conf_param *p)
{
	static const char *const unit_names[][2] = {
		{ "ms", "milliseconds" },
		{ "s", "seconds" },
		{ "m", "minutes" },
		{ "h", "hours" },
		{ "d", "days" },
	};

	switch (p->type) {
	case CONF_TYPE_TIME:
		printf("A time, %s to %s", p->least, p->most);
		for (size_t i = 0; i < ARRAY_LEN(unit_names); i++)
			if (strcmp(p->unit, unit_names[i][0]) == 0)
				printf("; a bare number is in %s",
				    unit_names[i][1]);
		break;
	case CONF_TYPE_SIZE:
		printf("A size, %s to %s", p->least, p->most);
		break;
	case CONF_TYPE_INT:
		printf("A number%s%s, %s to %s",
		    p->unit[0] != '\0' && strcmp(p->unit, "per minute") != 0
			? " of "
		    : p->unit[0] != '\0' ? " "
					 : "",
		    p->unit, p->least, p->most);
		break;
	case CONF_TYPE_BOOL: printf("Yes or no"); break;
	case CONF_TYPE_ENUM: printf("One of: %s", p->values); break;
	case CONF_TYPE_LIST:
		if (p->values[0] != '\0')
			printf("A list of: %s", p->values);
		else
			printf("A list");
		break;
	case CONF_TYPE_STR:
		if (p->values[0] != '\0')
			printf("One of: %s", p->values);
		else
			return;
		break;
	}
	printf(".\n");
	if (p->zero[0] != '\0')
		printf("0 means: %s.\n", p->zero);
}

static void
put_aliases(const struct conf_param *p)
{
	for (size_t i = 0; i < conf_control_count; i++)
		if (&conf_params[conf_controls[i].id] == p)
			printf("Control file:\n.Pa %s .\n",
			    conf_controls[i].file);
}

static void
put_param(const struct conf_param *p)
{
	char used[256];

	printf(".It Ic %s Pq default:", p->name);
	if (p->def[0] == '\0') {
		printf(" nothing\n");
	} else if (p->def[0] == '<') {
		printf(" %.*s\n", (int)strlen(p->def) - 2, p->def + 1);
	} else {
		printf(" Li ");
		put_quoted(p->def);
		printf("\n");
	}
	put_text(p->text);
	put_range(p);
	put_aliases(p);
	(void)snprintf(used, sizeof(used), "Used by: %s.%s", p->roles,
	    p->when == CONF_WHEN_RESTART ? " Takes effect at the next start."
					 : "");
	put_text(used);
}

static const char head[] =
    ".\\\" Made from src/conf/params.def: change that, not this.\n"
    ".Dd November 22, 2026\n"
    ".Dt WEIR.CONF 5\n"
    ".Os Weir\n"
    ".Sh NAME\n"
    ".Nm weir.conf\n"
    ".Nd configuration of the Weir mail server\n"
    ".Sh DESCRIPTION\n"
    ".Nm\n"
    "holds the parameters of\n"
    ".Xr weir 8 .\n"
    "Names and meanings are those of Postfix wherever Weir has the same\n"
    "thing, so that a line of\n"
    ".Pa main.cf\n"
    "can be used as it is.\n"
    "Without the file, and for every parameter that it does not name, the\n"
    "defaults below hold.\n"
    ".Pp\n"
    "A definition is\n"
    ".Dl name = value\n"
    "in the first column.\n"
    "A line that begins with white space continues the one above.\n"
    "Empty lines, and lines whose first character is\n"
    ".Ql # ,\n"
    "mean nothing.\n"
    "If a name is defined more than once, the last definition holds and\n"
    ".Ql weir check\n"
    "warns.\n"
    "A name that is not in this page is an error.\n"
    ".Pp\n"
    "In a value, these stand for the value of another parameter, wherever\n"
    "that is defined:\n"
    ".Bl -tag -width \"${name?{text}:{other}}\" -compact -offset indent\n"
    ".It Li $name , ${name}\n"
    "its value\n"
    ".It Li ${name?text}\n"
    "text, if it has a value that is not empty\n"
    ".It Li ${name:text}\n"
    "text, if it has none\n"
    ".It Li ${name?{text}:{other}}\n"
    "one or the other\n"
    ".It Li $$\n"
    "a dollar sign\n"
    ".El\n"
    ".Pp\n"
    "A definition beats the control file of the same meaning (see\n"
    ".Sx CONTROL DIRECTORY ) ,\n"
    "which beats the default.\n"
    ".Fl o Ar name Ns = Ns Ar value\n"
    "on the command line of\n"
    ".Xr weir 8\n"
    "beats all of them.\n"
    ".Ss Values\n"
    ".Bl -tag -width \"yes or no\" -compact\n"
    ".It time\n"
    "a number with\n"
    ".Li ms , s , m , h , d\n"
    "or\n"
    ".Li w ;\n"
    "a bare number has the unit that is said with the parameter\n"
    ".It size\n"
    "octets, or a number with\n"
    ".Li K , M , G\n"
    "or\n"
    ".Li T\n"
    "(powers of 1024)\n"
    ".It yes or no\n"
    "these words\n"
    ".It list\n"
    "items separated by commas or white space; what stands in braces is one\n"
    "item\n"
    ".El\n"
    ".Ss Transports\n"
    "Besides those that are built in\n"
    ".Pq local , virtual , smtp , lmtp , relay , error , discard\n"
    "a transport that hands mail to a command is defined by\n"
    ".Pp\n"
    ".Dl transport Ar NAME No = pipe user= Ns Ar USER Oo flags= Ns Ar F Oc "
    "argv= Ns Ar /path ...\n"
    ".Pp\n"
    "at most 16 of them, with a name of letters, digits,\n"
    ".Ql -\n"
    "and\n"
    ".Ql _ .\n"
    "The command gets the message on its standard input; there is no shell.\n"
    "Names of parameters are not replaced here.\n"
    ".Bl -tag -width \"null_sender=TEXT\"\n"
    ".It Li user= Ns Ar USER Ns Op : Ns Ar GROUP\n"
    "as whom the command runs; never root\n"
    ".It Li flags= Ns Ar F\n"
    "some of these letters:\n"
    ".Bl -tag -width Ds -compact\n"
    ".It B\n"
    "an empty line behind the message\n"
    ".It D\n"
    "a Delivered-To field in front of it, and mail that has it already is "
    "returned as a loop\n"
    ".It F\n"
    "a line\n"
    ".Dq From sender date\n"
    "in front of it\n"
    ".It O\n"
    "an X-Original-To field with the address as it was given\n"
    ".It R\n"
    "a Return-Path field\n"
    ".It X\n"
    "this is the final delivery: a delivery report says so\n"
    ".It h , u\n"
    "the domain, or what stands before the @, in lower case\n"
    ".It q\n"
    "what stands before the @ stays quoted as in RFC 5321\n"
    ".It \\&.\n"
    "a dot before each line that begins with one\n"
    ".It >\n"
    "a > before each line that begins with\n"
    ".Dq From ,\n"
    "or with more of > before it\n"
    ".El\n"
    "D and O need\n"
    ".Ar NAME Ns Li _destination_recipient_limit = 1\n"
    ".It Li directory= Ns Ar PATH\n"
    "where it runs; else in queue_directory\n"
    ".It Li null_sender= Ns Ar TEXT\n"
    "what stands in an argument for a sender that is empty; else "
    "MAILER-DAEMON\n"
    ".It Li argv= Ns Ar /path ...\n"
    "the program and its arguments, to the end of the definition, separated "
    "by blanks; one with blanks in it stands in braces.\n"
    "In an argument\n"
    ".Li ${recipient} , ${original_recipient} , ${user} , ${extension} ,\n"
    ".Li ${domain}\n"
    "and\n"
    ".Li ${mailbox}\n"
    "(before the @) stand for facts of a recipient: such an argument is given "
    "once for each;\n"
    ".Li ${sender} , ${nexthop} , ${size} , ${queue_id} , ${client_address} ,\n"
    ".Li ${client_hostname} , ${client_helo}\n"
    "and\n"
    ".Li ${client_protocol}\n"
    "for facts of the message\n"
    ".El\n"
    ".Pp\n"
    "The exit status counts as sysexits.h has it: 0 is success, 75\n"
    ".Pq EX_TEMPFAIL\n"
    "and 71\n"
    ".Pq EX_OSERR\n"
    "defer, all others return the mail.\n"
    "A program that cannot be executed, one that a signal ends and one that "
    "takes longer than it may (see\n"
    ".Ic command_timeout_action )\n"
    "defer it.\n"
    "Output that begins with a status such as\n"
    ".Li 4.2.2\n"
    "beats what the exit status stands for.\n"
    ".Pp\n"
    "The limits of a transport\n"
    ".Ar NAME\n"
    "are\n"
    ".Ar NAME Ns Ic _time_limit\n"
    ".Pq default: Li $command_time_limit ,\n"
    ".Ar NAME Ns Ic _destination_concurrency_limit ,\n"
    ".Ar NAME Ns Ic _destination_recipient_limit\n"
    "and\n"
    ".Ar NAME Ns Ic _initial_destination_concurrency\n"
    "(defaults: those of a transport without limits of its own).\n"
    ".Ss Tables\n"
    "A table is written as an item of a list:\n"
    ".Bl -tag -width \"inline:{ key = value, ... }\" -compact\n"
    ".It Li text:\\& Ns Ar /path\n"
    "a key and a value on each line, separated by white space; comments and\n"
    "continued lines as above.\n"
    "The file is read again when it has changed\n"
    ".It Li hash:\\& Ns Ar /path , Li texthash:\\& Ns Ar /path\n"
    "the same: the text is read, not what stands beside it\n"
    ".It Li cdb:\\& Ns Ar /path\n"
    "the constant database\n"
    ".Ar /path Ns .cdb\n"
    ".It Li lmdb:\\& Ns Ar /path\n"
    "the database\n"
    ".Ar /path Ns .lmdb ,\n"
    "as LMDB keeps it;\n"
    ".Xr postmap 1\n"
    "makes both\n"
    ".It Li \"inline:{ key = value, ... }\"\n"
    "the table itself; an entry with blanks or commas stands in braces\n"
    ".It Li static:\\& Ns Ar value\n"
    "this value for every key\n"
    ".El\n"
    ".Pp\n"
    "Keys are compared without regard to case.\n"
    "The tables of a list are asked in order; one that cannot be read is a\n"
    "temporary error, never\n"
    ".Dq not found .\n"
    "A text table is held in memory, which is part of\n"
    ".Ic memory_budget ;\n"
    "one of more than about ten thousand lines should be a cdb.\n"
    "For a mailbox, an owner or a group the keys are\n"
    ".Li user+extension@domain , user@domain\n"
    "and\n"
    ".Li @domain ;\n"
    "for a transport\n"
    ".Li user+extension@domain , user@domain , domain , .domain\n"
    "(for what is below it) and\n"
    ".Li * .\n"
    ".Sh PARAMETERS\n";

static const char tail[] =
    ".Sh FILES\n"
    ".Bl -tag -width Ds\n"
    ".It Pa " CONF_PATH_DEFAULT "\n"
    "read unless\n"
    ".Fl c\n"
    "names another file\n"
    ".El\n"
    ".Sh EXAMPLES\n"
    "A server for the users of one machine:\n"
    ".Bd -literal -offset indent\n"
    "myhostname = mail.example.org\n"
    "mydestination = example.org, $myhostname, localhost\n"
    ".Ed\n"
    ".Pp\n"
    "Virtual mailboxes, everything else through another server:\n"
    ".Bd -literal -offset indent\n"
    "virtual_mailbox_domains = example.org\n"
    "virtual_mailbox_base = /var/vmail\n"
    "virtual_mailbox_maps = text:/etc/weir/mailboxes\n"
    "virtual_uid_maps = static:5000\n"
    "virtual_gid_maps = static:5000\n"
    "relayhost = [smtp.example.net]:587\n"
    ".Ed\n"
    ".Pp\n"
    "with\n"
    ".Pa /etc/weir/mailboxes :\n"
    ".Bd -literal -offset indent\n"
    "alice@example.org  example.org/alice/\n"
    "bob@example.org    example.org/bob/\n"
    "@example.org       example.org/others/\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr weir 8\n";

static void
put_control(void)
{
	printf(".Sh CONTROL DIRECTORY\n"
	       "With\n.Ic control_directory\n"
	       "the files of a qmail control directory are read.\n"
	       "A file that holds one value is its first line; a list has\n"
	       "an item on each line and comments that begin with\n.Ql # .\n"
	       "For each parameter in this table qmail's default then holds,\n"
	       "whether the file exists or not, and\n"
	       ".Ic recipient_delimiter\nis\n.Ql - .\n"
	       "Without\n.Pa rcpthosts\n"
	       "qmail relays for everybody; here that is an error, unless\n"
	       ".Ic relay_domains\nis in\n.Nm .\n"
	       "With it strangers may send to what it names and to nothing\n"
	       "else, which\n.Ic rcpthosts_decide = no\nchanges.\n"
	       ".Pa morercpthosts\n"
	       "is read as the\n.Pa morercpthosts.cdb\nthat\n"
	       ".Xr qmail-newmrh 8\nmakes of it.\n"
	       ".Pa qmqpservers\nis an error: QMQP is not served.\n"
	       "The name of a file may also be used in\n.Nm ,\n"
	       "with the unit that the file has.\n"
	       "A number that is out of bounds is clamped, with a warning.\n"
	       ".Bl -column concurrencyremote smtp_data_init_timeout "
	       "\"$myhostname ESMTP\"\n"
	       ".It Sy file Ta Sy parameter Ta Sy default\n");
	for (size_t i = 0; i < conf_control_count; i++) {
		const struct conf_control *k = &conf_controls[i];

		printf(".It Pa %s Ta Ic %s Ta ", k->file,
		    conf_params[k->id].name);
		if (k->def != NULL) {
			printf("Li ");
			put_quoted(k->def);
			printf("\n");
		} else {
			printf("that of Weir\n");
		}
	}
	printf(".El\n");
}

int
main(void)
{
	enum conf_group group = CONF_GROUP_COUNT;

	fputs(head, stdout);
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		if (conf_params[i].group != group) {
			if (i > 0)
				printf(".El\n");
			group = conf_params[i].group;
			printf(".Ss %s\n.Bl -tag -width Ds\n",
			    conf_group_title(group));
		}
		put_param(&conf_params[i]);
	}
	printf(".El\n");
	put_control();
	fputs(tail, stdout);
	return fflush(stdout) != 0 || ferror(stdout);
}
