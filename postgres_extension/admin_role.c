/*
 * admin_role.c
 *	  See admin_role.h.
 */
#include "borealis.h"

#include "utils/acl.h"

#include "admin_role.h"

Oid
admin_role_oid(void)
{
	return get_role_oid(ADMIN_ROLE, false);
}

static void
refuse_if_admin(const RoleSpec *role, const char *what)
{
	if (role->roletype == ROLESPEC_PUBLIC || get_rolespec_oid(role, true) != admin_role_oid())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("role \"%s\" cannot be %s", ADMIN_ROLE, what),
			 errhint("Every cluster has it. Make roles of your own with CREATE ROLE.")));
}

/* What may be said of any role: its password, and who its members are. */
static bool
is_harmless(const DefElem *option)
{
	return strcmp(option->defname, "password") == 0 || strcmp(option->defname, "validUntil") == 0 ||
		strcmp(option->defname, "rolemembers") == 0;
}

static void
reject_alter(const AlterRoleStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		if (!is_harmless(lfirst(cell)))
			refuse_if_admin(statement->role, "altered");
	}
}

void
admin_role_reject(const Node *statement)
{
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_DropRoleStmt:
			foreach(cell, ((const DropRoleStmt *) statement)->roles)
				refuse_if_admin(lfirst(cell), "dropped");
			break;
		case T_AlterRoleStmt:
			reject_alter((const AlterRoleStmt *) statement);
			break;
		case T_RenameStmt:
			if (((const RenameStmt *) statement)->renameType == OBJECT_ROLE)
			{
				RoleSpec	role = {.type = T_RoleSpec, .roletype = ROLESPEC_CSTRING,
				.rolename = ((const RenameStmt *) statement)->subname};

				refuse_if_admin(&role, "renamed");
			}
			break;
		default:
			break;
	}
}
