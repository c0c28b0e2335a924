/*
 * libarchive asks iconv how to show UTF-8 names in this process's character set. The C library's iconv would read
 * modules from files that this image does not have; here it always says that it cannot, and libarchive then keeps a
 * name's bytes as they are, which is what names on disk are.
 */
#include <errno.h>
#include <iconv.h>

iconv_t iconv_open(const char *to, const char *from)
{
    (void)to;
    (void)from;
    errno = EINVAL;
    return (iconv_t)-1;
}

size_t iconv(iconv_t converter, char **in, size_t *in_left, char **out, size_t *out_left)
{
    (void)converter;
    (void)in;
    (void)in_left;
    (void)out;
    (void)out_left;
    errno = EBADF;
    return (size_t)-1;
}

int iconv_close(iconv_t converter)
{
    (void)converter;
    return 0;
}
