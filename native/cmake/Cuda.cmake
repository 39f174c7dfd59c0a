# SPDX-License-Identifier: MIT
# The devices `cuda:N`. MEZZO_CUDA says what they are built with; what came of it stands in mezzo_cuda.
#   AUTO  NVIDIA's compiler where CUDA 12.4 to 13.x is found, else OFF
#   ON    NVIDIA's compiler, required
#   SIM   the simulated device of the tests, which the C++ compiler builds from the same .cu files; never shipped
#   OFF   nothing: the library knows the CPU alone
set(MEZZO_CUDA AUTO CACHE STRING "CUDA devices: AUTO (where a toolkit is installed), ON, SIM (simulated) or OFF")
set_property(CACHE MEZZO_CUDA PROPERTY STRINGS AUTO ON SIM OFF)

# The PTX at the end is for GPUs that come after.
set(shipped_architectures 75-real 80-real 86-real 89-real 90-real 80-virtual)
set(MEZZO_CUDA_ARCHITECTURES shipped CACHE STRING
    "GPUs to compile for: shipped, native (those of this machine), or a list of N-real (machine code) and N-virtual (PTX)")

if(NOT MEZZO_CUDA MATCHES "^(AUTO|ON|SIM|OFF)$")
  message(FATAL_ERROR "MEZZO_CUDA is \"${MEZZO_CUDA}\", expected AUTO, ON, SIM or OFF")
endif()

# Finds nvcc and tries it. `nvcc` and `nvcc_version` are set in the caller, or `objection` says what is wrong.
function(mezzo_find_nvcc)
  set(fetched "")
  if(MEZZO_CUDA STREQUAL "ON")
    file(GLOB fetched "${PROJECT_SOURCE_DIR}/.cache/cuda/*")
  endif()
  find_program(nvcc NAMES ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX} nvcc NO_CACHE
               HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda ${fetched} PATH_SUFFIXES bin)
  if(NOT nvcc)
    set(objection "no CUDA compiler found (eng/cuda-toolkit.sh fetches one)" PARENT_SCOPE)
    return()
  endif()

  execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE answer ERROR_VARIABLE answer RESULT_VARIABLE failed)
  if(failed OR NOT answer MATCHES "release [0-9.]+, V([0-9.]+)")
    set(objection "${nvcc} is not nvcc, or does not start" PARENT_SCOPE)
    return()
  endif()
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_LESS 12.4 OR version VERSION_GREATER_EQUAL 14)
    set(objection "${nvcc} is of CUDA ${version}, 12.4 to 13.x is needed" PARENT_SCOPE)
    return()
  endif()

  # A toolkit older than the host compiler refuses it. One trial is enough.
  if(NOT mezzo_nvcc_tried STREQUAL nvcc)
    set(host "")
    if(CMAKE_CUDA_HOST_COMPILER)
      set(host -ccbin "${CMAKE_CUDA_HOST_COMPILER}")
    elseif(DEFINED ENV{CUDAHOSTCXX})
      set(host -ccbin "$ENV{CUDAHOSTCXX}")
    endif()
    set(trial "${PROJECT_BINARY_DIR}/CMakeFiles/nvcc_trial")
    file(WRITE "${trial}.cu" "#include <concepts>\n")
    execute_process(COMMAND "${nvcc}" ${host} -std=c++20 -arch=sm_75 -c "${trial}.cu" -o "${trial}.o"
                    OUTPUT_VARIABLE answer ERROR_VARIABLE answer RESULT_VARIABLE failed)
    if(failed)
      string(STRIP "${answer}" answer)
      set(objection "${nvcc} does not compile:\n${answer}\n" PARENT_SCOPE)
      return()
    endif()
    set(mezzo_nvcc_tried "${nvcc}" CACHE INTERNAL "")
  endif()
  set(nvcc "${nvcc}" PARENT_SCOPE)
  set(nvcc_version "${version}" PARENT_SCOPE)
endfunction()

# CMake knows native from 3.24 on, and asks a program that Debian's toolkit lacks.
function(mezzo_find_native_architectures result)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE answer ERROR_VARIABLE answer RESULT_VARIABLE failed)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${answer}")
  if(failed OR NOT capabilities)
    message(FATAL_ERROR "MEZZO_CUDA_ARCHITECTURES is native, but nvidia-smi names no GPU (${failed}): ${answer}")
  endif()
  set(architectures "")
  foreach(capability IN LISTS capabilities)
    string(REPLACE "." "" number "${capability}")
    # As shipped, so that the same code is tested.
    if("${number}a-real" IN_LIST shipped_architectures)
      list(APPEND architectures "${number}a-real")
    else()
      list(APPEND architectures "${number}-real")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES architectures)
  set("${result}" "${architectures}" PARENT_SCOPE)
endfunction()

# The compiler's options for a list of architectures, in generate_code, and the oldest of them, in oldest_arch. What comes after 8.0 gets machine code from the PTX of 8.0, but for
# code of one architecture alone, 90a say: no kernel asks for a newer one, the instructions are the same, and most of the
# compiler's time is the way to PTX.
function(mezzo_generate_code architectures)
  set(options "")
  set(oldest "")
  if(NOT architectures)
    message(FATAL_ERROR "MEZZO_CUDA_ARCHITECTURES is empty, expected shipped, native, or a list of N-real and N-virtual")
  endif()
  foreach(architecture IN LISTS architectures)
    if(NOT architecture MATCHES "^([0-9]+)([af]?)-(real|virtual)$")
      message(FATAL_ERROR "MEZZO_CUDA_ARCHITECTURES has \"${architecture}\", expected N-real or N-virtual, or shipped or native alone")
    endif()
    set(number "${CMAKE_MATCH_1}${CMAKE_MATCH_2}")
    set(ptx "${number}")
    if(oldest STREQUAL "" OR CMAKE_MATCH_1 LESS oldest)
      set(oldest "${CMAKE_MATCH_1}")
    endif()
    if(CMAKE_MATCH_3 STREQUAL "virtual")
      list(APPEND options "--generate-code=arch=compute_${number},code=compute_${number}")
    else()
      if(CMAKE_MATCH_1 GREATER 80 AND NOT CMAKE_MATCH_2)
        set(ptx 80)
      endif()
      list(APPEND options "--generate-code=arch=compute_${ptx},code=sm_${number}")
    endif()
  endforeach()
  set(generate_code "${options}" PARENT_SCOPE)
  set(oldest_arch "${oldest}" PARENT_SCOPE)
endfunction()

set(mezzo_cuda "${MEZZO_CUDA}")
if(MEZZO_CUDA MATCHES "^(AUTO|ON)$")
  mezzo_find_nvcc()
  if(nvcc)
    set(mezzo_cuda ON)
  elseif(MEZZO_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MEZZO_CUDA is ON, but ${objection}")
  else()
    set(mezzo_cuda OFF)
    message(STATUS "CUDA: ${objection}; the library knows the CPU alone")
  endif()
elseif(MEZZO_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: switched off; the library knows the CPU alone")
endif()

if(mezzo_cuda STREQUAL "ON")
  set(architectures "${MEZZO_CUDA_ARCHITECTURES}")
  if(architectures STREQUAL "native")
    mezzo_find_native_architectures(architectures)
  elseif(architectures STREQUAL "shipped")
    set(architectures "${shipped_architectures}")
  endif()
  mezzo_generate_code("${architectures}")
  set(CMAKE_CUDA_ARCHITECTURES OFF)
  set(CMAKE_CUDA_COMPILER "${nvcc}" CACHE FILEPATH "CUDA compiler")
  enable_language(CUDA)
  # CMake 3.25 does not know yet that nvcc has C++20.
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
  # Linked below, where the C++ sources see it too.
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  find_package(CUDAToolkit REQUIRED)
  message(STATUS "CUDA: ${nvcc_version} for ${architectures}")

  # --fmad=false: products are not contracted, so that elementwise ops give the same bits as on the CPU; matrix
  # kernels say fmaf or mma where they mean it. The host compiler gets the options of C++ but for -Wpedantic, since
  # the code that nvcc generates is not pedantic, and lets #pragma unroll pass, which speaks to the device.
  list(JOIN mezzo_options_cxx "," host_options)
  set(cuda_options ${generate_code} --fmad=false --expt-relaxed-constexpr --extended-lambda -Xfatbin=-compress-all
      "-Xcompiler=${host_options},-Wno-unknown-pragmas")
  if(MEZZO_WERROR)
    list(APPEND cuda_options -Werror=all-warnings)
  endif()
  target_compile_options(mezzo_options INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>")
endif()

if(mezzo_cuda STREQUAL "SIM")
  find_path(mezzo_boost_include boost/context/fiber.hpp)
  find_library(mezzo_boost_context boost_context)
  if(NOT mezzo_boost_include OR NOT mezzo_boost_context)
    message(FATAL_ERROR "MEZZO_CUDA is SIM, but Boost.Context is missing (Debian: libboost-context-dev)")
  endif()
  message(STATUS "CUDA: simulated, for tests")
endif()

# mezzo_add_device_sources(TARGET): adds what the CUDA devices consist of, found like the other sources.
function(mezzo_add_device_sources target)
  if(mezzo_cuda STREQUAL "OFF")
    return()
  endif()
  set(source_dir "${PROJECT_SOURCE_DIR}/native/src")
  file(GLOB sources CONFIGURE_DEPENDS "${source_dir}/cuda/*.cpp")
  file(GLOB kernels CONFIGURE_DEPENDS "${source_dir}/cuda/*.cu" "${source_dir}/device/*.cu" "${source_dir}/ops/*.cu")
  target_compile_definitions(${target} PUBLIC MEZZO_HAVE_CUDA)

  if(mezzo_cuda STREQUAL "ON")
    # Static, so that the library loads where there is no driver.
    target_link_libraries(${target} PUBLIC CUDA::cudart_static)
    set_source_files_properties("${source_dir}/cuda/compiled_arch.cu" PROPERTIES
                                COMPILE_DEFINITIONS MEZZO_OLDEST_ARCH=${oldest_arch})
  else()
    set(simulator "${PROJECT_SOURCE_DIR}/tests/native/cuda_sim")
    file(GLOB simulator_sources CONFIGURE_DEPENDS "${simulator}/src/*.cpp")
    list(APPEND sources ${simulator_sources})
    # nvcc is silent on these too: #pragma unroll, and registers filled and read under two equal conditions.
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX
                                COMPILE_OPTIONS "-Wno-unknown-pragmas;-Wno-maybe-uninitialized")
    target_compile_definitions(${target} PUBLIC MEZZO_CUDA_SIM)
    target_include_directories(${target} BEFORE PUBLIC "${simulator}/include")
    target_include_directories(${target} SYSTEM PUBLIC "${mezzo_boost_include}")
    target_link_libraries(${target} PUBLIC "${mezzo_boost_context}")
  endif()

  list(SORT sources)
  list(SORT kernels)
  target_sources(${target} PRIVATE ${sources} ${kernels})
endfunction()
