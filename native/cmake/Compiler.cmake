# SPDX-License-Identifier: MIT
# Options of every target of the project, in mezzo_options.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)

option(MEZZO_WERROR "Warnings are errors; OFF for a compiler that nobody has tried yet" ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Kind of build" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# Inf and NaN keep their meaning and products are never contracted, so that elementwise loops give the same
# bits with every instruction set. Without errno and traps, which nobody reads, sqrt and comparisons vectorise.
# GCC 12 sees overlapping copies in std::string where there are none, hence -Wno-restrict.
set(mezzo_options_c -Wall -Wextra -ffp-contract=off -fno-math-errno -fno-trapping-math)
if(MEZZO_WERROR)
  list(APPEND mezzo_options_c -Werror)
endif()
set(mezzo_options_cxx ${mezzo_options_c} -Wconversion -Wshadow -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND mezzo_options_cxx -Wno-restrict)
endif()
add_library(mezzo_options INTERFACE)
target_compile_options(mezzo_options INTERFACE
  "$<$<COMPILE_LANGUAGE:C>:-Wpedantic;${mezzo_options_c}>"
  "$<$<COMPILE_LANGUAGE:CXX>:-Wpedantic;${mezzo_options_cxx}>")
target_link_libraries(mezzo_options INTERFACE Threads::Threads)

if(MEZZO_SANITIZE)
  # Callers may pass any value for an enum: the library checks it, and GCC keeps all its bits.
  # AddressSanitizer sees accesses through the pointers that -fsanitize=null, object-size and pointer-overflow speak of,
  # which are a third of the compiler's time.
  set(sanitizers -fsanitize=address,undefined -fno-sanitize=enum,null,object-size,pointer-overflow -fno-sanitize-recover=all)
  target_compile_options(mezzo_options INTERFACE
    "$<$<COMPILE_LANGUAGE:C,CXX>:${sanitizers};-fno-omit-frame-pointer;-g1;-O1>")
  target_link_options(mezzo_options INTERFACE ${sanitizers})
endif()
