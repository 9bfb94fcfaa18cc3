# All of Paddock in one image. The sandboxes of this version are process groups beside the workers, so one container runs
# the whole Procfile (`paddock up --foreground`); container sandboxes will take them apart.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/paddock-platform
COPY Makefile requirements*.txt ./
COPY cli/install.py cli/install.py
ARG AGENTS=claude-code
RUN python3 cli/install.py runtime && if [ "$AGENTS" != none ]; then python3 cli/install.py agents; fi
COPY . .
RUN python3 cli/install.py portal && rm -rf portal/node_modules
ENV PADDOCK_VAR=/var/lib/paddock PADDOCK_HOST=0.0.0.0
VOLUME /var/lib/paddock
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=30s CMD .venv/bin/paddock status
CMD [".venv/bin/paddock", "up", "--foreground"]
