/* http_cases.h - what the HTTP codec must refuse, and what it must take, each with its outcome.
 *
 * The refusals are those that keep a proxy in front and this server from seeing different requests
 * in the same bytes. Used by the unit test; the corpus of the fuzz target was written from it. */
#ifndef RINGPOST_TESTS_SUPPORT_HTTP_CASES_H
#define RINGPOST_TESTS_SUPPORT_HTTP_CASES_H

#include "core/base/span.h"

#define BODY_MAX 64 /* the limit that the cases are written for */

struct refused {
    struct span input;
    unsigned status;
    const char *message; /* the beginning of it */
};

#define BAD(literal, status, message)                                                              \
    { {literal, sizeof(literal) - 1}, status, message }
#define GET(headers) "GET / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define POST(headers) "POST / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define CHUNKED(body) POST("Transfer-Encoding: chunked\r\n") body
#define LINE(line) line "\r\nHost: a\r\n\r\n"

static const struct refused refused[] = {
    /* How long the body is must be said once, and in one way. */
    BAD(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", 400,
        "both Content-L"),
    BAD(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") "0\r\n\r\n", 400,
        "both Content-L"),
    BAD(POST("Content-Length: 5\r\nContent-Length: 5\r\n") "hello", 400, "Content-Length came"),
    BAD(POST("Content-Length: 5\r\nContent-Length: 6\r\n") "hello", 400, "Content-Length came"),
    BAD(POST("Content-Length: 5\r\ncontent-length: 0\r\n") "hello", 400, "Content-Length came"),
    BAD(POST("Content-Length: 0\r\nContent-Length: 5\r\n") "hello", 400, "Content-Length came"),
    BAD(POST("Content-Length: 5, 5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5,5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: +5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: -5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5 5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5\t5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 0x5\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5a\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5.0\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 5;a=b\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: \"5\"\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length:\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: \r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 18446744073709551616\r\n"), 400, "Content-Length is not"),
    BAD(POST("Content-Length: 18446744073709551621\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Content-Length: 99999999999999999999\r\n"), 400, "Content-Length is not"),
    BAD(POST("Content-Length: 00000000000000000005\r\n") "hello", 400, "Content-Length is not"),
    BAD(POST("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked, gzip\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked, chunked\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is n"),
    BAD(POST("Transfer-Encoding: chunked, identity\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is "),
    BAD(POST("Transfer-Encoding: identity\r\n"), 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: gzip\r\n"), 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: xchunked\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunkedx\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked;a=b\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: \"chunked\"\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: ,chunked\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked,\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chu nked\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding:\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: \x0b"
             "chunked\r\n") "0\r\n\r\n",
        400, "a control byte"),
    BAD(POST("Transfer-Encoding: chunked\xa0\r\n") "0\r\n\r\n", 400, "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", 400,
        "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") "0\r\n\r\n", 400,
        "Transfer-Encoding is not"),
    BAD(POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", 400,
        "a header that may come once"),
    BAD("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
        "Transfer-Encoding in HTTP/1.0"),
    BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
        "both Content-Length"),

    /* Chunks. */
    BAD(CHUNKED("+5\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("-5\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("0x5\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5h\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED(" 5\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5 \r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5 ;a\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("\t5\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5_0\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED(";a\r\n\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("10000000000000005\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("00000000000000005\r\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5\nhello\r\n0\r\n\r\n"), 400, "a chunk size"),
    BAD(CHUNKED("5\r\r\nhello\r\n0\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("5\rhello\r\n0\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("5;a\nhello\r\n0\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("5;\0\r\nhello\r\n0\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("5\r\nhello\n0\r\n\r\n"), 400, "a chunk does not end"),
    BAD(CHUNKED("5\r\nhello0\r\n\r\n"), 400, "a chunk does not end"),
    BAD(CHUNKED("5\r\nhello\r0\r\n\r\n"), 400, "a chunk does not end"),
    BAD(CHUNKED("5\r\nhello!\r\n0\r\n\r\n"), 400, "a chunk does not end"),
    BAD(CHUNKED("5\r\nhel\r\n0\r\n\r\n"), 400, "a chunk does not end"),
    BAD(CHUNKED("0\r\n\n"), 400, "a trailer field"),
    BAD(CHUNKED("0\r\n\rX"), 400, "a control byte"),
    BAD(CHUNKED("0\n\n"), 400, "a chunk size"),
    BAD(CHUNKED("0\r\nA: b\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("0\r\nA: b\rc\r\n\r\n"), 400, "a control byte"),
    BAD(CHUNKED("0\r\nA: b\r\n c\r\n\r\n"), 400, "a trailer field"),
    BAD(CHUNKED("0\r\nA : b\r\n\r\n"), 400, "a trailer field"),
    BAD(CHUNKED("0\r\n: b\r\n\r\n"), 400, "a trailer field"),
    BAD(CHUNKED("0\r\nA\r\n\r\n"), 400, "a trailer field"),
    BAD(CHUNKED("0\r\nGET / HTTP/1.1\r\n\r\n"), 400, "a trailer field"),

    /* Lines. */
    BAD("GET / HTTP/1.1\nHost: a\n\n", 400, "a line feed without"),
    BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "a line feed without"),
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "a line feed without"),
    BAD(GET("A: b\nC: d\r\n"), 400, "a line feed without"),
    BAD(GET("A: b\rC: d\r\n"), 400, "a carriage return without"),
    BAD(GET("A: b\r\r\n"), 400, "a carriage return without"),
    BAD(GET("A: b\r\n c\r\n"), 400, "a line of the head begins"),
    BAD(GET("A: b\r\n\tc\r\n"), 400, "a line of the head begins"),
    BAD(GET("A: b\r\n \r\n"), 400, "a line of the head begins"),
    BAD("GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n", 400, "a line of the head begins"),
    BAD(" " GET(""), 400, "a line of the head begins"),
    BAD("\n" GET(""), 400, "a line feed without"),
    BAD("\r\n\r\n" GET(""), 400, "empty lines"),
    BAD("\r\n\r" GET(""), 400, "a carriage return without"),
    BAD("\r" GET(""), 400, "a carriage return without"),
    BAD("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "a control byte"),
    BAD("{\"type\":\"hello\"}\n", 400, "a line feed without"),

    /* Headers. */
    BAD(GET("A : b\r\n"), 400, "a header is malformed"),
    BAD(GET("A\t: b\r\n"), 400, "a header is malformed"),
    BAD(POST("Content-Length : 5\r\n") "hello", 400, "a header is malformed"),
    BAD(POST("Transfer-Encoding : chunked\r\n") "0\r\n\r\n", 400, "a header is malformed"),
    BAD(GET("A b: c\r\n"), 400, "a header is malformed"),
    BAD(GET("A(b): c\r\n"), 400, "a header is malformed"),
    BAD(GET("A@: c\r\n"), 400, "a header is malformed"),
    BAD(GET("\"A\": c\r\n"), 400, "a header is malformed"),
    BAD(GET("A\x80: c\r\n"), 400, "a header is malformed"),
    BAD(GET("A\r\n"), 400, "a header is malformed"),
    BAD(GET(": b\r\n"), 400, "a header is malformed"),
    BAD(GET("A: b\0c\r\n"), 400, "a control byte"),
    BAD(GET("A\0: b\r\n"), 400, "a control byte"),
    BAD(GET("A: b\x01"
            "c\r\n"),
        400, "a control byte"),
    BAD(GET("A: b\x7f\r\n"), 400, "a control byte"),
    BAD(GET("A: b\x1b[2J\r\n"), 400, "a control byte"),
    BAD(GET("Host: a\r\n"), 400, "a header that may come once"),
    BAD(GET("host: b\r\n"), 400, "a header that may come once"),
    BAD(GET("Origin: http://a\r\nOrigin: http://b\r\n"), 400, "a header that may come once"),
    BAD(GET("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400, "a header that may"),
    BAD(GET("Content-Type: text/plain\r\nContent-Type: application/json\r\n"), 400,
        "a header that"),
    BAD(GET("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 400, "a header that may"),
    BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "a header that may come once"),
    BAD("GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
    BAD("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", 400, "no Host"),
    BAD("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "Host is not"),
    BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "Host is not"),
    BAD("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "Host is not"),
    BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "Host is not"),
    BAD("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "Host is not"),
    BAD("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400, "Host is not"),
    BAD(POST("Expect: 200-ok\r\nContent-Length: 5\r\n"), 417, "Expect is not"),
    BAD(POST("Expect: 100-continue, x\r\nContent-Length: 5\r\n"), 417, "Expect is not"),
    BAD(POST("Expect:\r\nContent-Length: 5\r\n"), 417, "Expect is not"),

    /* The request line. */
    BAD(LINE("GE T / HTTP/1.1"), 400, ""),
    BAD(LINE("G@T / HTTP/1.1"), 400, "the request does not begin"),
    BAD(LINE("G\xc3T / HTTP/1.1"), 400, "the request does not begin"),
    BAD(LINE("GET\t/ HTTP/1.1"), 400, "the request does not begin"),
    BAD(LINE("GET"), 400, "the request does not begin"),
    BAD("A\r\n\r\n", 400, "the request does not begin"),
    BAD(LINE("AMETHODNAMEOFMORETHANTHIRTYTWOBYTES / HTTP/1.1"), 400, "the request does not"),
    BAD(LINE("GET  / HTTP/1.1"), 400, "more than one blank"),
    BAD(LINE("FOO  / HTTP/1.1"), 400, "more than one blank"),
    BAD(LINE("GET /  HTTP/1.1"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/1.1 "), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/1.1\t"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/1.10"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/11"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/1x1"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/.1"), 400, "the request line does not end"),
    BAD(LINE("GET / http/1.1"), 400, "the request line does not end"),
    BAD(LINE("GET / RTSP/1.0"), 400, "the request line does not end"),
    BAD(LINE("SOURCE / ICE/1.0"), 400, "the request line does not end"),
    BAD(LINE("GET / b HTTP/1.1"), 400, "the request line does not end"),
    BAD("GET /\r\n\r\n", 400, "the request line does not end"),
    BAD(LINE("GET /"), 400, "the request line does not end"),
    BAD(LINE("GET / HTTP/1.2"), 505, "the version"),
    BAD(LINE("GET / HTTP/0.9"), 505, "the version"),
    BAD(LINE("GET / HTTP/2.0"), 505, "the version"),
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "the version"),
    BAD(LINE("GET /\t HTTP/1.1"), 400, "the request target"),
    BAD(LINE("GET /\x80 HTTP/1.1"), 400, "the request target"),
    BAD(LINE("GET a HTTP/1.1"), 400, "the request target"),
    BAD(LINE("GET  HTTP/1.1"), 400, ""),
    BAD(LINE("CONNECT a:80 HTTP/1.1"), 400, "the request target"),
    BAD(LINE("GET * HTTP/1.1"), 400, "only OPTIONS"),
    BAD(LINE("OPTIONS *a HTTP/1.1"), 400, ""),
    BAD(LINE("GET /#a HTTP/1.1"), 400, "the target has a fragment"),
    BAD(LINE("GET /?a#b HTTP/1.1"), 400, "the target has a fragment"),
    BAD(LINE("GET http://b/ HTTP/1.1"), 400, "the target names another host"),
    BAD(LINE("GET http://a:80/ HTTP/1.1"), 400, "the target names another host"),
    BAD(LINE("GET http://u@a/ HTTP/1.1"), 400, "the target names another host"),
    BAD(LINE("GET http:// HTTP/1.1"), 400, "the target names another host"),
    BAD(LINE("GET http:///a HTTP/1.1"), 400, ""),
    BAD(LINE("GET ftp://a/ HTTP/1.1"), 400, "the target is neither"),
    BAD("GET http://u@a/ HTTP/1.0\r\n\r\n", 400, "Host is not"),
    BAD("GET http:///a HTTP/1.0\r\n\r\n", 400, ""),

    /* Sizes, with a limit of BODY_MAX. */
    BAD(POST("Content-Length: 65\r\n"), 413, "the body is too large"),
    BAD(POST("Content-Length: 9999999999999999999\r\n"), 413, "the body is too large"),
    BAD(CHUNKED("41\r\n"), 413, "the body is too large"),
    BAD(CHUNKED("FFFFFFFFFFFFFFFF\r\n"), 413, "the body is too large"),
    BAD(CHUNKED("1\r\na\r\n40\r\n"), 413, "the body is too large"),
    BAD(CHUNKED("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n"), 413, "the body is too large"),
};

struct taken {
    struct span input;
    const char *text;
};

#define GOOD(literal, text)                                                                        \
    { {literal, sizeof(literal) - 1}, text }
#define CHUNKED_TEXT(body)                                                                         \
    "POST [POST] [/] path=[/] 1.1 keep chunked host=[a] {Host=a} {Transfer-Encoding=chunked} "     \
    "body=[" body "]\nopen, nothing left\n"

static const struct taken taken[] = {
    GOOD(GET(""), "GET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\n"
                  "open, nothing left\n"),
    GOOD("\r\n" GET(""), "GET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\n"
                         "open, nothing left\n"),
    GOOD("HEAD /a/b?c=%20&d HTTP/1.1\r\nhOST:a.example:8081\r\n\r\n",
         "HEAD [HEAD] [/a/b?c=%20&d] path=[/a/b] query=[c=%20&d] 1.1 keep host=[a.example:8081] "
         "{hOST=a.example:8081} body=[]\nopen, nothing left\n"),
    GOOD("GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
         "GET [GET] [/?] path=[/] query=[] 1.1 keep host=[[::1]:80] {Host=[::1]:80} body=[]\n"
         "open, nothing left\n"),
    GOOD("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005  \r\n\r\nhello",
         "PUT [PUT] [/] path=[/] 1.1 keep host=[a] {Host=a} {Content-Length=0005} body=[hello]\n"
         "open, nothing left\n"),
    GOOD("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
         "DELETE [DELETE] [/] path=[/] 1.1 keep host=[a] {Host=a} {Content-Length=0} body=[]\n"
         "open, nothing left\n"),
    GOOD("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
         "OPTIONS [OPTIONS] [*] path=[*] 1.1 keep host=[a] {Host=a} body=[]\n"
         "open, nothing left\n"),
    GOOD(GET("Origin:  null\r\nAccept: a\r\nAccept: b\r\nContent-Type:text/plain\r\n"
             "Authorization: Bearer k \r\nAccess-Control-Request-Method: POST\r\n"
             "Access-Control-Request-Headers: x, y\r\nEmpty:\r\nBlank: \t \r\nTab: a\tb\r\n"
             "Latin: \xe4\r\n"),
         "GET [GET] [/] path=[/] 1.1 keep host=[a] origin=[null] type=[text/plain] "
         "authorization=[Bearer k] accept=[a] method=[POST] headers=[x, y] {Host=a} {Origin=null} "
         "{Accept=a} {Accept=b} {Content-Type=text/plain} {Authorization=Bearer k} "
         "{Access-Control-Request-Method=POST} {Access-Control-Request-Headers=x, y} {Empty=} "
         "{Blank=} {Tab=a\tb} {Latin=\xe4} body=[]\nopen, nothing left\n"),

    /* Absolute targets. */
    GOOD("GET http://A/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET [GET] [http://A/b?c] path=[/b] query=[c] 1.1 keep host=[a] {Host=a} body=[]\n"
         "open, nothing left\n"),
    GOOD("GET HTTPS://a:1?c HTTP/1.1\r\nHost: a:1\r\n\r\n",
         "GET [GET] [HTTPS://a:1?c] path=[/] query=[c] 1.1 keep host=[a:1] {Host=a:1} body=[]\n"
         "open, nothing left\n"),
    GOOD("GET http://a HTTP/1.0\r\n\r\nrest",
         "GET [GET] [http://a] path=[/] 1.0 host=[a] body=[]\nended\n"),

    /* Methods that nobody here serves are the caller's to refuse. */
    GOOD("PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" GET(""),
         "OTHER [PATCH] [/] path=[/] 1.1 keep host=[a] {Host=a} {Content-Length=1} body=[x]\n"
         "GET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\nopen, nothing left\n"),
    GOOD("get / HTTP/1.1\r\nHost: a\r\n\r\n",
         "OTHER [get] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\nopen, nothing left\n"),
    GOOD("GETX / HTTP/1.1\r\nHost: a\r\n\r\n",
         "OTHER [GETX] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\nopen, nothing left\n"),
    GOOD("\r\nX / HTTP/1.1\r\nHost: a\r\n\r\n",
         "OTHER [X] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\nopen, nothing left\n"),

    /* Whether another request may follow. */
    GOOD(GET("Connection: close\r\n") GET(""),
         "GET [GET] [/] path=[/] 1.1 host=[a] {Host=a} {Connection=close} body=[]\nended\n"),
    GOOD(GET("Connection: x,  CLOSE ,y\r\n") GET(""),
         "GET [GET] [/] path=[/] 1.1 host=[a] {Host=a} {Connection=x,  CLOSE ,y} body=[]\n"
         "ended\n"),
    GOOD(GET("Connection: close\r\nConnection: keep-alive\r\n") GET(""),
         "GET [GET] [/] path=[/] 1.1 host=[a] {Host=a} {Connection=close} "
         "{Connection=keep-alive} body=[]\nended\n"),
    GOOD(GET("Connection: closed\r\n"),
         "GET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} {Connection=closed} body=[]\n"
         "open, nothing left\n"),
    GOOD(GET("Connection: Upgrade\r\nUpgrade: websocket\r\n") "\x81",
         "GET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} {Connection=Upgrade} "
         "{Upgrade=websocket} body=[]\nopen, a part left\n"),
    GOOD("GET / HTTP/1.0\r\n\r\nGET", "GET [GET] [/] path=[/] 1.0 body=[]\nended\n"),
    GOOD("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
         "GET [GET] [/] path=[/] 1.0 keep {Connection=Keep-Alive} body=[]\n"
         "GET [GET] [/] path=[/] 1.0 body=[]\nopen, nothing left\n"),
    GOOD("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\nGET",
         "GET [GET] [/] path=[/] 1.0 {Connection=keep-alive, close} body=[]\nended\n"),

    /* Expect. */
    GOOD(POST("Expect: 100-Continue\r\nContent-Length: 2\r\n") "hi",
         "POST [POST] [/] path=[/] 1.1 keep expects host=[a] {Host=a} {Expect=100-Continue} "
         "{Content-Length=2} body=[hi]\nopen, nothing left\n"),
    GOOD("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 2\r\n\r\nhi",
         "POST [POST] [/] path=[/] 1.0 {Expect=x} {Content-Length=2} body=[hi]\n"
         "open, nothing left\n"),

    /* Chunks. */
    GOOD(CHUNKED("0\r\n\r\n"), CHUNKED_TEXT("")),
    GOOD(CHUNKED("5\r\nhello\r\n0\r\n\r\n"), CHUNKED_TEXT("hello")),
    GOOD(CHUNKED("1\r\nh\r\n4\r\nello\r\n00\r\n\r\n"), CHUNKED_TEXT("hello")),
    GOOD(CHUNKED("0000000000000005;a=\"b\";d\r\nhello\r\n0;e=f\r\n\r\n"), CHUNKED_TEXT("hello")),
    GOOD(CHUNKED("5; a = \"b c\";;\r\nhello\r\n0;\r\n\r\n"), CHUNKED_TEXT("hello")),
    GOOD(CHUNKED("9\r\n\r\n0\r\n\r\n()\r\nF\r\n0123456789abcde\r\n0\r\nA: b\r\nC:\tD\r\n\r\n"),
         CHUNKED_TEXT("\r\n0\r\n\r\n()0123456789abcde")),
    GOOD(CHUNKED("40\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n"
                 "0\r\n\r\n"),
         CHUNKED_TEXT("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")),
    GOOD(POST("TRANSFER-encoding:\tChunked \r\n") "2\r\nhi\r\n0\r\n\r\n" GET(""),
         "POST [POST] [/] path=[/] 1.1 keep chunked host=[a] {Host=a} {TRANSFER-encoding=Chunked} "
         "body=[hi]\nGET [GET] [/] path=[/] 1.1 keep host=[a] {Host=a} body=[]\n"
         "open, nothing left\n"),

    /* What is not complete is waited for. */
    GOOD("G", "open, a part left\n"),
    GOOD("GET / HTTP/1.1\r\nHost: a\r\n\r", "open, a part left\n"),
    GOOD(POST("Content-Length: 3\r\n") "hi", "open, a part left\n"),
    GOOD(CHUNKED("2\r\nhi\r\n0\r\n\r"), "open, a part left\n"),
};

static const struct taken replies[] = {
    GOOD("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 204 No Content\r\n\r\n",
         "202 keep {Content-Length=2} body=[{}]\n204 keep body=[]\nopen, nothing left\n"),
    GOOD("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nhi\r\n0\r\n\r\n",
         "100 keep body=[]\n200 keep {Transfer-Encoding=chunked} body=[hi]\nopen, nothing left\n"),
    GOOD("HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nxmore",
         "503 {Connection=close} {Content-Length=1} body=[x]\nended\n"),
    GOOD("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 x\r\nContent-Length: 9\r\n\r\n",
         "304 keep {Content-Length=9} body=[]\n204 keep {Content-Length=9} body=[]\n"
         "open, nothing left\n"),
    GOOD("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
         "200 {Content-Length=0} body=[]\nopen, nothing left\n"),
    GOOD("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "open, a part left\n"),
    GOOD("HTTP/1.1 200 OK\r\n\r\n",
         "refused 400 bad_message: a reply whose body has no length at 0\n"),
    GOOD("HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n",
         "refused 413 too_large: the body is too large at 33\n"),
    GOOD("HTTP/1.1 200 OK\nContent-Length: 0\n\n",
         "refused 400 bad_message: a line feed without a carriage return before it at 15\n"),
    GOOD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
         "refused 400 bad_message: a chunk size is not a hexadecimal number at 47\n"),
};

#endif
