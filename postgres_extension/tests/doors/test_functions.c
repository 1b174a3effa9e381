/*
 * test_functions.c
 *	  SQL-callable doors to internals, for tests (test_functions.sql declares
 *	  them in schema borealis_test).
 */
#include "../../key_codec.h"
#include "../../row_codec.h"

#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/typcache.h"
#include "varatt.h"

PG_FUNCTION_INFO_V1(borealis_test_encode_key);
PG_FUNCTION_INFO_V1(borealis_test_key_refusal);
PG_FUNCTION_INFO_V1(borealis_test_convert_comparand);
PG_FUNCTION_INFO_V1(borealis_test_check_alter_type);
PG_FUNCTION_INFO_V1(borealis_test_row_encode);
PG_FUNCTION_INFO_V1(borealis_test_row_decode);
PG_FUNCTION_INFO_V1(borealis_test_row_decode_header);

/* The named btree operator class, or the default one of the type. */
static Oid
find_opclass(Oid type_id, const text *name)
{
	Oid			opclass;

	if (name != NULL)
		return get_opclass_oid(BTREE_AM_OID,
							   stringToQualifiedNameList(text_to_cstring(name), NULL), false);
	opclass = GetDefaultOpClass(type_id, BTREE_AM_OID);
	if (!OidIsValid(opclass))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s has no default btree operator class", format_type_be(type_id))));
	return opclass;
}

/* (value anyelement, descending bool, nulls_first bool, opclass text) -> bytea */
Datum
borealis_test_encode_key(PG_FUNCTION_ARGS)
{
	Oid			type_id = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			opclass = find_opclass(type_id, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3));
	KeyColumn	column;
	StringInfoData out;

	key_column_init(&column, get_opclass_family(opclass), get_opclass_input_type(opclass),
					type_id, PG_GET_COLLATION(), PG_GETARG_BOOL(1), PG_GETARG_BOOL(2));
	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	key_encode_column(&out, &column, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
					  PG_ARGISNULL(0));
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_BYTEA_P(out.data);
}

/* (value anyelement, opclass text) -> text */
Datum
borealis_test_key_refusal(PG_FUNCTION_ARGS)
{
	Oid			type_id = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			opclass = find_opclass(type_id, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	const char *reason;

	if (key_column_supported(get_opclass_family(opclass), get_opclass_input_type(opclass),
							 type_id, PG_GET_COLLATION(), &reason))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/*
 * (column_value anyelement, comparand "any") -> place text, key bytea: where the
 * comparand lies among the values of the column's type, and the ascending
 * encoding of the value that it is converted to.
 */
Datum
borealis_test_convert_comparand(PG_FUNCTION_ARGS)
{
	static const char *const place_names[] = {
		[KEY_COMPARAND_UNKNOWN] = "unknown",
		[KEY_COMPARAND_BELOW_ALL] = "below all",
		[KEY_COMPARAND_EQUAL] = "equal",
		[KEY_COMPARAND_ABOVE] = "above",
	};
	Oid			type_id = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			opclass = find_opclass(type_id, NULL);
	Datum		value = PG_GETARG_DATUM(1);
	KeyComparand place;
	KeyColumn	column;
	StringInfoData key;
	TupleDesc	descriptor;
	Datum		results[2];
	bool		nulls[2] = {false, false};

	key_column_init(&column, get_opclass_family(opclass), get_opclass_input_type(opclass),
					type_id, DEFAULT_COLLATION_OID, false, false);
	place = key_convert_comparand(get_fn_expr_argtype(fcinfo->flinfo, 1),
								  get_opclass_input_type(opclass), &value);
	initStringInfo(&key);
	appendStringInfoSpaces(&key, VARHDRSZ);
	if (place == KEY_COMPARAND_EQUAL || place == KEY_COMPARAND_ABOVE)
		key_encode_column(&key, &column, value, false);
	SET_VARSIZE(key.data, key.len);

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "result must be a row");
	results[0] = CStringGetTextDatum(place_names[place]);
	results[1] = PointerGetDatum(key.data);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), results, nulls)));
}

/* (statement text) */
Datum
borealis_test_check_alter_type(PG_FUNCTION_ARGS)
{
	List	   *statements = pg_parse_query(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ListCell   *cell;

	foreach(cell, statements)
		key_codec_check_alter_type(lfirst_node(RawStmt, cell)->stmt);
	PG_RETURN_VOID();
}

/* (row record) -> its stored form */
Datum
borealis_test_row_encode(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	Size		size = row_encoded_size(&tuple);
	bytea	   *out = palloc(VARHDRSZ + size);

	row_encode(&tuple, VARDATA(out));
	SET_VARSIZE(out, VARHDRSZ + size);
	PG_RETURN_BYTEA_P(out);
}

/* From an address that is not aligned, as a value in the map may be. */
static HeapTuple
decode_unaligned(bytea *stored)
{
	uint32		len = VARSIZE_ANY_EXHDR(stored);
	uint8	   *unaligned = (uint8 *) palloc(len + 1) + 1;
	HeapTuple	tuple = palloc0(HEAPTUPLESIZE);

	memcpy(unaligned, VARDATA_ANY(stored), len);
	tuple->t_data = palloc(row_decoded_size(unaligned, len));
	row_decode(unaligned, len, tuple);
	return tuple;
}

/* (stored bytea, row_type anyelement) -> the row, of the second argument's type */
Datum
borealis_test_row_decode(PG_FUNCTION_ARGS)
{
	Oid			type_id = get_fn_expr_argtype(fcinfo->flinfo, 1);
	TupleDesc	descriptor = lookup_rowtype_tupdesc_copy(type_id, -1);
	HeapTuple	tuple = decode_unaligned(PG_GETARG_BYTEA_PP(0));

	PG_RETURN_DATUM(heap_copy_tuple_as_datum(tuple, descriptor));
}

/* (stored bytea) -> attributes, t_infomask, t_hoff and t_len of the tuple */
Datum
borealis_test_row_decode_header(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple = decode_unaligned(PG_GETARG_BYTEA_PP(0));
	Datum		fields[] = {
		Int32GetDatum(HeapTupleHeaderGetNatts(tuple->t_data)),
		Int32GetDatum(tuple->t_data->t_infomask),
		Int32GetDatum(tuple->t_data->t_hoff),
		Int32GetDatum(tuple->t_len),
	};

	PG_RETURN_ARRAYTYPE_P(construct_array_builtin(fields, lengthof(fields), INT4OID));
}
