# syntax=docker/dockerfile:1

FROM node:26-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY oci ./oci
COPY storage ./storage
COPY registry ./registry
COPY server ./server
COPY config ./config
COPY cli ./cli
# Without the optional packages: they carry a Node for people who have none, and the base image has one.
RUN npm run build && npm prune --omit=dev --omit=optional

FROM node:26-bookworm-slim
LABEL org.opencontainers.image.title="Entrepot" \
      org.opencontainers.image.description="An image registry server" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/entrepot
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY deploy/health-check.ts ./
RUN install -d -o node -g node -m 0750 /var/lib/entrepot

# A container is reached over its own network, never over loopback. The server refuses that address until
# ENTREPOT_ACCESS_ALLOW_ANONYMOUS=true says that whoever reaches it may pull, push and delete.
#
# Uploads sync each file in a thread of libuv's pool; its 4 would make them wait for each other.
ENV NODE_ENV=production \
    UV_THREADPOOL_SIZE=16 \
    ENTREPOT_ADDRESS=0.0.0.0:5000 \
    ENTREPOT_ROOT=/var/lib/entrepot

# By number, so that Kubernetes can tell that it is not root (runAsNonRoot): the image's user "node".
USER 1000:1000
VOLUME /var/lib/entrepot
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["node", "/opt/entrepot/health-check.ts"]
ENTRYPOINT ["node", "/opt/entrepot/dist/cli/main.mjs"]
CMD ["serve"]
