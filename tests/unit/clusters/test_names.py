import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.clusters.names import (
    ClusterArn,
    EndpointName,
    InvalidName,
    is_identifier,
    make_identifier,
    parse_account,
    parse_domain,
    parse_identifier,
    parse_region,
)

IDENTIFIER = parse_identifier("4iabtwnq2j55iez4j4bkykghgm")

identifiers = st.from_regex(r"[a-z0-9]{26}", fullmatch=True).map(parse_identifier)
regions = st.sampled_from(["us-east-1", "eu-west-3", "us-gov-west-1", "ap-southeast-2", "local-site-1"])
domains = st.sampled_from(["localhost", "on.aws", "db.example.com", "x--y.z", "1.2.3.4"])
accounts = st.from_regex(r"[0-9]{12}", fullmatch=True)


def test_new_identifiers_differ_and_are_valid() -> None:
    made = {make_identifier() for _ in range(1000)}
    assert len(made) == 1000
    assert all(is_identifier(identifier) for identifier in made)


@pytest.mark.parametrize("text", ["", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "\n", "é" * 26, "../" + "a" * 23])
def test_other_texts_are_no_identifiers(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_identifier(text)


@given(identifiers, regions, accounts)
def test_an_arn_comes_back(identifier: str, region: str, account: str) -> None:
    arn = ClusterArn(region, account, parse_identifier(identifier))
    assert str(arn) == f"arn:aws:dsql:{region}:{account}:cluster/{identifier}"
    assert ClusterArn.parse(str(arn)) == arn


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"arn:aws:dsql:us-east-1:000000000000:cluster/{IDENTIFIER}/stream/{IDENTIFIER}",
        f"arn:aws:dsql:us-east-1:00000000000:cluster/{IDENTIFIER}",
        f"arn:aws:rds:us-east-1:000000000000:cluster/{IDENTIFIER}",
        f"arn:aws:dsql:us-east-1:000000000000:{IDENTIFIER}",
        f"arn:aws:dsql:us-east-1:000000000000:cluster/{IDENTIFIER}\n",
        f"arn:aws:dsql:us-east-1:000000000000:cluster/{IDENTIFIER}:x",
        f"arn:aws:dsql:*:000000000000:cluster/{IDENTIFIER}",
    ],
)
def test_other_texts_are_no_arns(text: str) -> None:
    with pytest.raises(InvalidName):
        ClusterArn.parse(text)


@given(identifiers, regions, domains)
def test_an_endpoint_comes_back_in_any_case(identifier: str, region: str, domain: str) -> None:
    name = EndpointName(parse_identifier(identifier), region, domain)
    assert str(name) == f"{identifier}.dsql.{region}.{domain}"
    assert EndpointName.parse(str(name)) == name
    assert EndpointName.parse(str(name).upper() + ".") == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        f"{IDENTIFIER}.dsql.us-east-1",
        f"{IDENTIFIER}.dsql.us-east-1.",
        f"{IDENTIFIER}.rds.us-east-1.localhost",
        f"x{IDENTIFIER}.dsql.us-east-1.localhost",
        f"{IDENTIFIER}.dsql..localhost",
        f"{IDENTIFIER}.dsql.us-east-1.local host",
        f"{IDENTIFIER}.dsql.us-east-1.localhost..",
        f"{IDENTIFIER}.dsql.us-east-1.localhost\0",
        f"{IDENTIFIER}.dsql.us-east-1." + "a." * 200 + "a",
        f"{IDENTIFIER}.dsql.us-east-1.localhost".replace("k", "\N{KELVIN SIGN}"),
        f"{IDENTIFIER}.dsql.us-east-1." + "a" * 64,
    ],
)
def test_other_texts_are_no_endpoints(text: str) -> None:
    with pytest.raises(InvalidName):
        EndpointName.parse(text)


@given(st.text())
def test_any_text_is_taken_or_refused(text: str) -> None:
    for parse in (parse_identifier, ClusterArn.parse, EndpointName.parse, parse_region, parse_account, parse_domain):
        try:
            parse(text)
        except InvalidName:
            continue
