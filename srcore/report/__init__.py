"""What people look at: pictures of products."""
