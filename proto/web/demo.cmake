# demo.cmake - makes the header that proto/web/web_demo.c includes of proto/web/demo.html: the page
# as an array of bytes, and the hashes of its style and script, by which alone the page's
# Content-Security-Policy lets them in. A second array is the page for nodes that serve the script
# of Socket.IO: it loads that where the page has the line <!-- socket.io -->.

# Sets `result` to the base64 of bytes that are given in hexadecimal.
function(base64_of_hex hex result)
  set(letters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(text "")
  string(LENGTH "${hex}" len)
  set(at 0)
  while(at LESS len)
    string(SUBSTRING "${hex}" ${at} 6 three)
    string(LENGTH "${three}" digits)
    string(SUBSTRING "${three}0000" 0 6 three)
    foreach(shift 18 12 6 0)
      math(EXPR letter "(0x${three} >> ${shift}) & 63")
      string(SUBSTRING "${letters}" ${letter} 1 letter)
      string(APPEND text "${letter}")
    endforeach()
    if(digits LESS 6)
      # One letter is left out for each byte that was not there.
      math(EXPR kept "${digits} / 2 + 1")
      string(LENGTH "${text}" text_len)
      math(EXPR text_len "${text_len} - 4 + ${kept}")
      string(SUBSTRING "${text}" 0 ${text_len} text)
      math(EXPR pad "4 - ${kept}")
      string(REPEAT "=" ${pad} pad)
      string(APPEND text "${pad}")
    endif()
    math(EXPR at "${at} + 6")
  endwhile()
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Sets `result` to the source expression of the one element of that name in the page.
function(hash_of_element page name result)
  string(FIND "${page}" "<${name}>" begin)
  string(FIND "${page}" "<${name}>" last REVERSE)
  string(FIND "${page}" "</${name}>" end)
  if(begin LESS 0 OR NOT begin EQUAL last OR end LESS begin)
    message(FATAL_ERROR "the demo page has to have one <${name}>, without attributes")
  endif()
  string(LENGTH "<${name}>" tag_len)
  math(EXPR begin "${begin} + ${tag_len}")
  math(EXPR len "${end} - ${begin}")
  string(SUBSTRING "${page}" ${begin} ${len} content)
  string(SHA256 hex "${content}")
  base64_of_hex("${hex}" base64)
  set(${result} "'sha256-${base64}'" PARENT_SCOPE)
endfunction()

# Sets `result` to the bytes that are given in hexadecimal as the inside of an array in C.
function(array_of_hex hex result)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REPEAT "....." 16 line)
  string(REGEX REPLACE "(${line})" "\\1\n    " bytes "${bytes}")
  set(${result} "${bytes}" PARENT_SCOPE)
endfunction()

function(make_demo_header html header)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${html})
  file(READ ${html} page)
  hash_of_element("${page}" style style)
  hash_of_element("${page}" script script)
  file(READ ${html} hex HEX)
  string(HEX "<!-- socket.io -->\n" mark)
  string(HEX "<script src=\"socket.io/socket.io.js\"></script>\n" element)
  string(REPLACE "${mark}" "" without "${hex}")
  string(REPLACE "${mark}" "${element}" with "${hex}")
  if(with STREQUAL hex)
    message(FATAL_ERROR "the demo page has lost the line where Socket.IO is loaded")
  endif()
  array_of_hex("${without}" bytes)
  array_of_hex("${with}" script_bytes)
  # Written only if it changed, so that nothing is compiled for nothing.
  file(CONFIGURE OUTPUT ${header} CONTENT [[
/* Made of proto/web/demo.html by proto/web/demo.cmake. */
#define WEB_DEMO_STYLE "@style@"
#define WEB_DEMO_SCRIPT "@script@"
static const unsigned char web_demo_bytes[] = {
    @bytes@};
static const unsigned char web_demo_script_bytes[] = {
    @script_bytes@};
]] @ONLY)
endfunction()
