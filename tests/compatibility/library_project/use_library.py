"""Migrates the project's models, uses them, changes them, and prints what it has seen as JSON."""

import json
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command


def use() -> dict[str, Any]:
    from django.db import IntegrityError, connection, transaction
    from django.db.models import Avg, Count
    from library.models import Author, Book, Reader

    ursula = Author.objects.create(name="Ursula", born=date(1929, 10, 21))
    stanislaw = Author.objects.create(name="Stanisław")
    Book.objects.bulk_create(
        [
            Book(title="Solaris", author=stanislaw, price=Decimal("9.50"), tags=["sea"]),
            Book(title="The Dispossessed", author=ursula, price=Decimal("12.00"), tags=["moon", "walls"]),
            Book(title="The Lathe of Heaven", author=ursula, price=Decimal("8.00")),
        ]
    )
    reader = Reader.objects.create(name="Somebody")
    reader.borrowed.set(Book.objects.filter(author__name="Ursula"))
    refused = []
    for wrong in (
        {"title": "Solaris", "author": stanislaw, "price": 1},
        {"title": "Fiasco", "author": stanislaw, "price": -1},
    ):
        try:
            with transaction.atomic():
                Book.objects.create(**wrong)
        except IntegrityError as error:
            refused.append(str(error.__cause__).split('"')[-2])
    with transaction.atomic():
        solaris = Book.objects.select_for_update().get(title="Solaris")
        solaris.price += 1
        solaris.save()
    with connection.cursor() as cursor:
        indexes = connection.introspection.get_constraints(cursor, "library_book")
    return {
        "by_author": list(
            Author.objects.annotate(number=Count("books"), mean=Avg("books__price"))
            .order_by("name")
            .values_list("name", "number", "mean")
        ),
        "tags": Book.objects.get(title="The Dispossessed").tags,
        "borrowed": list(reader.borrowed.order_by("title").values_list("title", flat=True)),
        "solaris": solaris.price,
        "refused": refused,
        "constraints": sorted(name for name in indexes if "fk" not in name),
        "deleted": Author.objects.filter(name="Ursula").delete()[0],
        "left": Book.objects.count(),
    }


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    call_command("migrate", verbosity=0)
    seen = use()
    call_command("migrate", "library", "0001", verbosity=0)
    call_command("migrate", "library", "zero", verbosity=0)
    json.dump(seen, sys.stdout, default=str)


if __name__ == "__main__":
    main()
