# SPDX-License-Identifier: MIT
# What `cmake --install` puts in place: header, library, pkg-config file and CMake package files.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/mezzo")

install(TARGETS mezzo EXPORT mezzo-targets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" NAMELINK_SKIP)
install(TARGETS mezzo LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" NAMELINK_ONLY)
install(DIRECTORY native/include/mezzo DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT mezzo-targets NAMESPACE mezzo:: DESTINATION "${package_dir}")

configure_package_config_file(native/cmake/mezzo-config.cmake.in "${PROJECT_BINARY_DIR}/mezzo-config.cmake"
                              INSTALL_DESTINATION "${package_dir}")
# Before 1.0 a minor version may change the API.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/mezzo-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/mezzo-config.cmake" "${PROJECT_BINARY_DIR}/mezzo-config-version.cmake"
        DESTINATION "${package_dir}")

# Relative, so that an installed tree can be moved.
file(RELATIVE_PATH prefix_from_pkgconfig "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(native/cmake/mezzo.pc.in "${PROJECT_BINARY_DIR}/mezzo.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/mezzo.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
