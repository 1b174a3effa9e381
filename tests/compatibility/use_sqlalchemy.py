"""Makes tables by SQLAlchemy's dialect for Aurora DSQL, uses them, and prints what it has seen as JSON.

The driver is the first argument. Where the cluster is, the environment says.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import sqlalchemy
from aurora_dsql_sqlalchemy import create_dsql_engine
from sqlalchemy import ForeignKey, Index, String, func, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Planet(Base):
    __tablename__ = "planet"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    moons: Mapped[list[Moon]] = relationship(back_populates="planet", cascade="all, delete-orphan")


class Moon(Base):
    __tablename__ = "moon"
    __table_args__ = (Index("moon_name", "name"), Index("moon_of_planet", "planet_id", "name", unique=True))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    planet_id: Mapped[int] = mapped_column(ForeignKey("planet.id"))
    planet: Mapped[Planet] = relationship(back_populates="moons")


def connect(driver: str) -> sqlalchemy.Engine:
    return create_dsql_engine(
        host=os.environ["PGHOST"],
        user="admin",
        driver=driver,
        sslmode=os.environ["PGSSLMODE"],
        sslrootcert=os.environ.get("PGSSLROOTCERT", ""),
        connect_args={
            "region": os.environ["AWS_REGION"],
            "port": os.environ["PGPORT"],
            "hostaddr": os.environ["PGHOSTADDR"],
        },
    )


def use(engine: sqlalchemy.Engine) -> dict[str, Any]:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            [
                Planet(name="Mars", moons=[Moon(name="Phobos"), Moon(name="Deimos")]),
                Planet(name="Earth", moons=[Moon(name="Moon")]),
            ]
        )
        session.commit()
    with Session(engine) as session:
        counted = session.execute(
            select(Planet.name, func.count(Moon.id)).join(Planet.moons).group_by(Planet.name).order_by(Planet.name)
        ).all()
        session.delete(session.execute(select(Planet).where(Planet.name == "Mars")).scalar_one())
        session.commit()
        left = session.execute(select(Moon.name)).scalars().all()
    try:
        with Session(engine) as session:
            session.add(Planet(name="Earth"))
            session.commit()
        refused = ""
    except sqlalchemy.exc.IntegrityError as error:
        refused = type(error.orig).__name__
    # The adapter's own query of columns lacks one that SQLAlchemy has come to expect, on every server.
    inspector = inspect(engine)
    seen = {
        "counted": [list(row) for row in counted],
        "left": left,
        "refused": refused,
        "tables": sorted(inspector.get_table_names()),
        "indexes": sorted(str(index["name"]) for index in inspector.get_indexes("moon")),
        "foreign_keys": [key["referred_table"] for key in inspector.get_foreign_keys("moon")],
    }
    Base.metadata.drop_all(engine)
    return seen


def main() -> None:
    engine = connect(sys.argv[1])
    try:
        json.dump(use(engine), sys.stdout)
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
