# SPDX-License-Identifier: MIT
# mezzo_onednn: oneDNN 2.6 or newer with MEZZO_HAVE_ONEDNN defined, or nothing at all.
add_library(mezzo_onednn INTERFACE)

if(NOT MEZZO_ONEDNN MATCHES "^(AUTO|OFF)$")
  message(FATAL_ERROR "MEZZO_ONEDNN is \"${MEZZO_ONEDNN}\", expected AUTO or OFF")
endif()

if(MEZZO_ONEDNN STREQUAL "AUTO")
  find_package(dnnl CONFIG QUIET)
  if(dnnl_FOUND AND dnnl_VERSION VERSION_LESS 2.6)
    message(STATUS "oneDNN: ${dnnl_VERSION} is too old, 2.6 or newer is needed; matrix products use the built-in kernels")
  elseif(dnnl_FOUND)
    message(STATUS "oneDNN: ${dnnl_VERSION}")
    target_compile_definitions(mezzo_onednn INTERFACE MEZZO_HAVE_ONEDNN)
    target_link_libraries(mezzo_onednn INTERFACE DNNL::dnnl)
  else()
    message(STATUS "oneDNN: not found (Debian: libdnnl-dev); matrix products use the built-in kernels")
  endif()
else()
  message(STATUS "oneDNN: switched off; matrix products use the built-in kernels")
endif()
