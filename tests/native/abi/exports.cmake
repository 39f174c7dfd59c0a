# SPDX-License-Identifier: MIT
# The library exports what the public headers declare, and nothing else.
#   cmake -DNM=nm -DLIBRARY=libmezzo.so -DINCLUDE=native/include -P exports.cmake
execute_process(COMMAND "${NM}" -D --defined-only --format=posix "${LIBRARY}"
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "(^|\n)[^ \n]+" exported "${symbols}")
list(TRANSFORM exported STRIP)
list(SORT exported)

set(declared)
file(GLOB headers "${INCLUDE}/mezzo/*.h")
foreach(header IN LISTS headers)
  file(READ "${header}" text)
  string(REGEX MATCHALL "MEZZO_API [^;(#]*mezzo_[a-z0-9_]+\\(" declarations "${text}")
  list(TRANSFORM declarations REPLACE ".*[ *](mezzo_[a-z0-9_]+)\\($" "\\1")
  list(APPEND declared ${declarations})
endforeach()
list(SORT declared)

set(surplus ${exported})
list(REMOVE_ITEM surplus ${declared})
set(missing ${declared})
list(REMOVE_ITEM missing ${exported})
list(LENGTH declared count)
if(surplus OR missing OR count EQUAL 0)
  message(FATAL_ERROR "of ${count} declared functions these are not exported: [${missing}]; "
                      "exported and not declared: [${surplus}]")
endif()
message(STATUS "${count} functions declared and exported")
