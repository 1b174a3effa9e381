/*
 * iam_mapping.c
 *	  See iam_mapping.h.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shseclabel.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "admin_role.h"
#include "iam_mapping.h"

#define PROVIDER_PREFIX "aws iam "
/* IAM's own limit; the provider is part of an index. */
#define ARN_SIZE_MAX 2048
#define ACCOUNT_DIGITS 12

#define ARN_HINT "A principal is an IAM role or user, for example arn:aws:iam::111122223333:role/example."

/* ---- ARNs ---- */

static bool
take(const char **next, const char *expected)
{
	Size		size = strlen(expected);

	if (strncmp(*next, expected, size) != 0)
		return false;
	*next += size;
	return true;
}

static Size
span(const char **next, const char *accepted)
{
	Size		size = strspn(*next, accepted);

	*next += size;
	return size;
}

/* arn:aws:iam::111122223333:role/path/name, or user; the partition may be another one. */
static bool
is_principal(const char *arn)
{
	static const char lower_case[] = "abcdefghijklmnopqrstuvwxyz-";
	static const char path[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-/";
	Size		size = strlen(arn);

	return size <= ARN_SIZE_MAX && take(&arn, "arn:aws") &&
		(*arn == ':' || (*arn == '-' && span(&arn, lower_case) > 0)) &&
		take(&arn, ":iam::") && span(&arn, "0123456789") == ACCOUNT_DIGITS &&
		(take(&arn, ":role/") || take(&arn, ":user/")) &&
		span(&arn, path) > 0 && arn[0] == '\0' && arn[-1] != '/';
}

/* ---- rows ---- */

static HeapTuple
find_row(Relation labels, Oid role, text *provider)
{
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], Anum_pg_shseclabel_objoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	ScanKeyInit(&keys[1], Anum_pg_shseclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&keys[2], Anum_pg_shseclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(provider));
	scan = systable_beginscan(labels, SharedSecLabelObjectIndexId, true, NULL, lengthof(keys), keys);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		row = heap_copytuple(row);
	systable_endscan(scan);
	return row;
}

static void
insert_row(Relation labels, Oid role, text *provider)
{
	Datum		values[Natts_pg_shseclabel];
	bool		nulls[Natts_pg_shseclabel] = {0};

	values[Anum_pg_shseclabel_objoid - 1] = ObjectIdGetDatum(role);
	values[Anum_pg_shseclabel_classoid - 1] = ObjectIdGetDatum(AuthIdRelationId);
	values[Anum_pg_shseclabel_provider - 1] = PointerGetDatum(provider);
	values[Anum_pg_shseclabel_label - 1] =
		CStringGetTextDatum(psprintf("%u %u", GetNewObjectId(), GetUserId()));
	CatalogTupleInsert(labels, heap_form_tuple(RelationGetDescr(labels), values, nulls));
}

/* No cache holds labels; so that the transaction counts as one that changes catalogs, it is said of the role. */
static void
announce_change(Oid role)
{
	Relation	roles = table_open(AuthIdRelationId, AccessShareLock);
	HeapTuple	row = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for role %u", role);
	CacheInvalidateHeapTuple(roles, row, NULL);
	ReleaseSysCache(row);
	table_close(roles, AccessShareLock);
}

/* ---- the statements ---- */

static Oid
check_statement(const IamStatement *statement)
{
	Oid			role;

	PreventCommandIfReadOnly(statement->is_grant ? "AWS IAM GRANT" : "AWS IAM REVOKE");
	if (!has_privs_of_role(GetUserId(), admin_role_oid()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 statement->is_grant ?
				 errmsg("permission denied to grant role \"%s\" to a principal", statement->role) :
				 errmsg("permission denied to revoke role \"%s\" from a principal", statement->role),
				 errdetail("Only the role \"%s\" may do that.", ADMIN_ROLE)));
	role = get_role_oid(statement->role, false);
	if (superuser_arg(role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("principals cannot be mapped to role \"%s\"", statement->role)));
	if (!is_principal(statement->arn))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid ARN of a principal: \"%s\"", statement->arn),
				 errhint(ARN_HINT)));
	return role;
}

static void
grant_to(const IamStatement *statement, Oid role)
{
	Relation	labels = table_open(SharedSecLabelRelationId, RowExclusiveLock);
	text	   *provider = cstring_to_text(psprintf(PROVIDER_PREFIX "%s", statement->arn));

	if (HeapTupleIsValid(find_row(labels, role, provider)))
		ereport(NOTICE,
				(errmsg("role \"%s\" has already been granted to \"%s\"", statement->role, statement->arn)));
	else
	{
		insert_row(labels, role, provider);
		announce_change(role);
	}
	table_close(labels, RowExclusiveLock);
}

static void
revoke_from(const IamStatement *statement, Oid role)
{
	Relation	labels = table_open(SharedSecLabelRelationId, RowExclusiveLock);
	text	   *provider = cstring_to_text(psprintf(PROVIDER_PREFIX "%s", statement->arn));
	HeapTuple	row = find_row(labels, role, provider);

	if (!HeapTupleIsValid(row))
		ereport(WARNING,
				(errmsg("role \"%s\" has not been granted to \"%s\"", statement->role, statement->arn)));
	else
	{
		CatalogTupleDelete(labels, &row->t_self);
		announce_change(role);
	}
	table_close(labels, RowExclusiveLock);
}

void
iam_mapping_execute(const IamStatement *statement, QueryCompletion *completion)
{
	Oid			role = check_statement(statement);

	if (statement->is_grant)
		grant_to(statement, role);
	else
		revoke_from(statement, role);
	if (completion != NULL)
		SetQueryCompletion(completion, statement->is_grant ? CMDTAG_GRANT : CMDTAG_REVOKE, 0);
}
