//! Examples live beside this file, one folder or file a task.
