# docker build -t stflow .                            torch for the CPU
# docker build -t stflow --build-arg TORCH=cuda .     torch with CUDA, as uv.lock has it
# docker run --rm -v "$PWD:/data" stflow info slide.svs
FROM python:3.13-slim-trixie AS build

ARG TORCH=cpu
# Without the history the version is told: --build-arg SETUPTOOLS_SCM_PRETEND_VERSION_FOR_STFLOW_SPATIAL=0.1.0
ARG SETUPTOOLS_SCM_PRETEND_VERSION_FOR_STFLOW_SPATIAL
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY src src
RUN uv export --locked --no-default-groups --extra wsi --no-emit-project --no-hashes \
        --output-file locked.txt \
    && uv venv /opt/stflow \
    && if [ "$TORCH" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi \
    && uv pip install --no-cache --python /opt/stflow/bin/python --constraints locked.txt ".[wsi]"

FROM python:3.13-slim-trixie

COPY --from=build /opt/stflow /opt/stflow
ENV PATH=/opt/stflow/bin:$PATH MPLBACKEND=Agg
RUN useradd --uid 1000 --create-home stflow
USER 1000
WORKDIR /data
ENTRYPOINT ["stflow"]
CMD ["--help"]
