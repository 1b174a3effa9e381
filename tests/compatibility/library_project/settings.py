"""A Django project on one cluster, told by the environment where it is."""

import os

SECRET_KEY = "of no importance"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "library"]
USE_TZ = True
# The keys are UUIDs then, as the adapter prefers.
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "aurora_dsql_django",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "OPTIONS": {
            "region": os.environ["AWS_REGION"],
            "hostaddr": os.environ["PGHOSTADDR"],
            "sslmode": os.environ["PGSSLMODE"],
            "sslrootcert": os.environ.get("PGSSLROOTCERT", ""),
        },
    }
}
