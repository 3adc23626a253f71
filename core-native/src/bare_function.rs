//! Bare Node-API functions. What a generated binding does around a call (finding the object, tracking
//! borrows in a table behind a lock) costs more than executing a small frame or taking a small append; a
//! bare function is a few Node-API calls and the work.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue, Unknown};
use napi::{Env, Error, Result, Status, sys};

/// What Node-API calls. The data of the call is a `*const RefCell<T>`; see `bare_function`.
pub type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Makes a JavaScript function over `core`, which lives for as long as the function can be called. The
/// callback finds it as its data, and must take it for nothing but a `RefCell<T>`.
pub fn bare_function<'env, T>(
    env: &'env Env,
    name: &CStr,
    callback: Callback,
    core: &Rc<RefCell<T>>,
) -> Result<Unknown<'env>> {
    let data = Rc::into_raw(Rc::clone(core)).cast_mut().cast::<c_void>();
    let length = name.to_bytes().len() as isize;
    let mut function = null_mut();
    // SAFETY: `env` is that of the running call, the callbacks have the signatures that Node-API asks
    // for, and `data` is one count of the Rc, which `release` takes back when the function is collected.
    unsafe {
        let made = sys::napi_create_function(
            env.raw(),
            name.as_ptr(),
            length,
            Some(callback),
            data,
            &mut function,
        );
        if made != sys::Status::napi_ok {
            drop(Rc::from_raw(data.cast::<RefCell<T>>()));
            return Err(Error::from_status(Status::from(made)));
        }
        let tied = sys::napi_add_finalizer(
            env.raw(),
            function,
            data,
            Some(release::<T>),
            null_mut(),
            null_mut(),
        );
        if tied != sys::Status::napi_ok {
            // Without a finalizer the memory stays for good, which is safe.
            return Err(Error::from_status(Status::from(tied)));
        }
        Unknown::from_napi_value(env.raw(), function)
    }
}

unsafe extern "C" fn release<T>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: called once, with the pointer that `bare_function` gave.
    drop(unsafe { Rc::from_raw(data.cast::<RefCell<T>>()) });
}

/// Lets the call end with an error in JavaScript.
pub fn throw(env: sys::napi_env, message: &CStr) -> sys::napi_value {
    // SAFETY: the message is a C string; Node copies it.
    unsafe { sys::napi_throw_error(env, null(), message.as_ptr()) };
    null_mut()
}
