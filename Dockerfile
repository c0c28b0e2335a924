# The restore container: binaries, the libraries they load, CA roots, and
# nothing else. Built by `make image`; works with and without BuildKit.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
LABEL restore.build=true
# Before the sources, so that a change to them does not install anew.
COPY tests/env/install.sh /src/tests/env/
RUN /src/tests/env/install.sh build
COPY . /src
WORKDIR /src
# Another number builds anew from here on, to compare; see tests/image.
ARG REBUILD=0
RUN echo "build $REBUILD" && make -Otarget -j"$(nproc)" CFLAGS='-O2 -s -Wl,--trace' all >/tmp/links \
 && make install DESTDIR=/out

# The libraries go where the loader looks without a cache. C.UTF-8 is a file
# in glibc, not built in; names resolve through files and DNS, both in libc.
RUN programs=$(find /out -type f -perm -100) \
 && ldd $programs >/tmp/libraries \
 && ! grep 'not found' /tmp/libraries \
 && awk '$3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-/ { print $1 }' /tmp/libraries | sort -u \
    | xargs cp -L --parents -t /out \
 && cp -L --parents -t /out /etc/ssl/certs/ca-certificates.crt /usr/lib/locale/C.utf8/LC_CTYPE \
 && echo 'hosts: files dns' >/out/etc/nsswitch.conf \
 && chroot /out /usr/local/bin/restore --version

# What is in it, by package and checksum. Then one time stamp for everything:
# the same sources give the same layer.
ARG SOURCE_DATE_EPOCH=0
RUN version=$(/out/usr/local/bin/restore --version | sed -n '1s/^restore //p') \
 && tests/image/sbom.pl /out /tmp/links "$version" "$SOURCE_DATE_EPOCH" >/tmp/sbom.spdx.json \
 && install -D -m 644 /tmp/sbom.spdx.json /out/usr/share/restore/sbom.spdx.json
RUN find /out -exec touch -h -d "@$SOURCE_DATE_EPOCH" '{}' +

FROM scratch
COPY --from=build /out/ /
ENTRYPOINT ["/usr/local/bin/restore"]
