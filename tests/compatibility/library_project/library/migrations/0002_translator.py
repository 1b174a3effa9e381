"""Books have translators, once there are books."""

from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar[list[Any]] = [
        ("library", "0001_initial"),
    ]

    operations: ClassVar[list[Any]] = [
        migrations.AddField(
            model_name="book",
            name="translator",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="translations",
                to="library.author",
            ),
        ),
    ]
