# One image for every part: `python -m gateway`, `python -m contexts [names]`, `python -m projectors [names]`.
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.txt
COPY common common
COPY contexts contexts
COPY projectors projectors
COPY gateway gateway

RUN useradd --uid 10001 daybook && mkdir /data /config && chown daybook /data /config
USER daybook
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 DAYBOOK_DATA=/data
EXPOSE 8000
CMD ["python", "-m", "gateway"]
