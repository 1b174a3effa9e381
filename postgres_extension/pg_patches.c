/*
 * pg_patches.c
 *	  See pg_patches.h.
 *
 * The server looks built-in functions up in fmgr_builtins[], encodings in
 * pg_wchar_table[] and key words in ScanKeywords, which are exported but constant.  Rewriting an entry before
 * the first fork gives every backend the replacement, without a changed
 * catalog or binary.  All of it depends on the server's exact layout, so that
 * is checked first.
 */
#include "borealis.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrtab.h"
#include "utils/guc.h"

#include "pg_patches.h"

#define SERVER_VERSION_NUM 160014
#define BTHANDLER_OID 330

static const FmgrBuiltin *
find_builtin(Oid function)
{
	uint16		position = InvalidOidBuiltinMapping;

	if (function <= fmgr_last_builtin_oid)
		position = fmgr_builtin_oid_index[function];
	if (position == InvalidOidBuiltinMapping || fmgr_builtins[position].foid != function)
		elog(FATAL, "borealis: this server has no built-in function %u", function);
	return &fmgr_builtins[position];
}

void
pg_patches_check_server(void)
{
	const char *running = GetConfigOption("server_version_num", false, false);

	if (PG_VERSION_NUM != SERVER_VERSION_NUM)
		elog(FATAL, "borealis was built against PostgreSQL headers %d, needed are %d",
			 PG_VERSION_NUM, SERVER_VERSION_NUM);
	if (running == NULL || atoi(running) != SERVER_VERSION_NUM)
		ereport(FATAL,
				(errmsg("borealis runs in PostgreSQL %d only, this server is %s",
						SERVER_VERSION_NUM, running ? running : "unknown"),
				 errhint("Start it with the server that \"make build\" installed.")));
	(void) find_builtin(BTHANDLER_OID);
}

/* Overwrites bytes of a constant object. */
static void
overwrite(const void *target, const void *bytes, size_t size)
{
	uintptr_t	page_size = sysconf(_SC_PAGESIZE);
	uintptr_t	start = (uintptr_t) target & ~(page_size - 1);
	uintptr_t	end = ((uintptr_t) target + size + page_size - 1) & ~(page_size - 1);

	if (mprotect((void *) start, end - start, PROT_READ | PROT_WRITE) != 0)
		ereport(FATAL,
				(errmsg("borealis cannot take over the server's function tables: %m"),
				 errhint("A security policy of this machine forbids mprotect of constant data.")));
	memcpy((void *) target, bytes, size);
	if (mprotect((void *) start, end - start, PROT_READ) != 0)
		elog(FATAL, "borealis cannot protect the server's function tables again: %m");
}

void
pg_patch_builtin(Oid function, PGFunction replacement, PGFunction *original)
{
	const FmgrBuiltin *entry = find_builtin(function);

	if (original != NULL)
		*original = entry->func;
	overwrite(&entry->func, &replacement, sizeof(replacement));
}

void
pg_patch_utf8_verifier(Utf8Verifier replacement, Utf8Verifier *original)
{
	const pg_wchar_tbl *entry = &pg_wchar_table[PG_UTF8];

	*original = entry->mbverifystr;
	overwrite(&entry->mbverifystr, &replacement, sizeof(replacement));
}

void
pg_patch_keyword_hash(ScanKeywordHashFunc replacement, ScanKeywordHashFunc *original)
{
	*original = ScanKeywords.hash;
	overwrite(&ScanKeywords.hash, &replacement, sizeof(replacement));
}
