"""Networks from elsewhere, and to elsewhere: folders as Hugging Face's libraries keep them."""
