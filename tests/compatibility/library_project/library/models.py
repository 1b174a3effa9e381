"""Books, their authors, and who has borrowed them."""

from typing import Any, ClassVar

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=200, unique=True)
    born = models.DateField(null=True)


class Book(models.Model):
    title = models.CharField(max_length=200, db_index=True)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    # Added by the second migration.
    translator = models.ForeignKey(Author, on_delete=models.SET_NULL, null=True, related_name="translations")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    tags = models.JSONField(default=list)
    added = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar[list[Any]] = [models.Index(fields=["author", "title"], name="book_of_author")]
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(condition=models.Q(price__gte=0), name="price_not_negative"),
            models.UniqueConstraint(fields=["author", "title"], name="title_once_for_author"),
        ]


class Reader(models.Model):
    name = models.CharField(max_length=200)
    borrowed = models.ManyToManyField(Book, related_name="readers")
