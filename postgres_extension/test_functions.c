/*
 * test_functions.c
 *	  SQL-callable doors to internals, for tests (test_functions.sql declares
 *	  them in schema borealis_test).
 */
#include "key_codec.h"

#include "catalog/pg_am.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "varatt.h"

PG_FUNCTION_INFO_V1(borealis_test_encode_key);

/* (value anyelement, descending bool, nulls_first bool, opclass text) -> bytea */
Datum
borealis_test_encode_key(PG_FUNCTION_ARGS)
{
	Oid			type_id = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			opclass;
	KeyColumn	column;
	StringInfoData out;

	if (PG_ARGISNULL(3))
		opclass = GetDefaultOpClass(type_id, BTREE_AM_OID);
	else
		opclass = get_opclass_oid(BTREE_AM_OID,
								  stringToQualifiedNameList(text_to_cstring(PG_GETARG_TEXT_PP(3)), NULL),
								  false);
	if (!OidIsValid(opclass))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s has no default btree operator class", format_type_be(type_id))));

	key_column_init(&column, get_opclass_family(opclass), get_opclass_input_type(opclass),
					type_id, PG_GET_COLLATION(), PG_GETARG_BOOL(1), PG_GETARG_BOOL(2));
	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	key_encode_column(&out, &column, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
					  PG_ARGISNULL(0));
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_BYTEA_P(out.data);
}
